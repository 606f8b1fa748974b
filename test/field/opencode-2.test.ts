import {mkdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {expect, test} from 'vitest'
import {startFleet} from '../support/fleet.ts'

const program = fileURLToPath(new URL('../fixtures/opencode-2.sh', import.meta.url))

async function fleetWith(flags: string) {
  const fleet = await startFleet({
    env: {OPENCODE_BIN_PATH: program, OPENCODE_2_FLAGS: flags, A2A_ENV_ALLOW: 'OPENCODE_2_FLAGS'},
  })
  const path = join(fleet.path, 'api')
  mkdirSync(path)
  await fleet.worker('w', [path])
  return {
    ...fleet,
    home: fleet.env['HOME'] ?? '',
    create: () => fleet.cli(['tasks', 'create', '-b', path, '--wait', 'Do it']),
  }
}

test('OpenCode 2 is told to work by itself, not in its shared background server', async () => {
  await using fleet = await fleetWith('--standalone')
  const {code, stdout} = await fleet.create()
  expect([code, stdout.trim()]).toEqual([0, 'Done.'])
  expect(readFileSync(join(fleet.home, 'arguments'), 'utf8')).toMatch(/^run --format json --standalone /)
})

test('a version that cannot do that is refused, with the fix, by doctor and in the task', async () => {
  await using fleet = await fleetWith('')
  const {code, stderr} = await fleet.create()
  expect(code).toBe(1)
  expect(stderr).toMatch(/OpenCode 2\.0\.32 runs tasks in a background server that all tasks share/)
  const doctor = await fleet.cli(['doctor', '--name', 'w'])
  expect(doctor.stdout).toMatch(
    /✗ OpenCode: OpenCode 2\.0\.32 runs tasks in a background server[^]*@opencode\/cli@latest/,
  )
})
