import {chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {expect, test} from 'vitest'
import {stop} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {subjectToPermissions} from '../support/permissions.ts'
import {repository} from '../support/scratch.ts'
import {says} from '../support/workshop.ts'

const fileOf = ({path}: {path: string}) => join(path, 'home/.config/a2a-worker/config.json')

const configured = (fleet: {path: string}) =>
  (JSON.parse(readFileSync(fileOf(fleet), 'utf8')) as {codebases: unknown[]}).codebases

function writeConfig(fleet: {path: string}, text: string, mode = 0o600): string {
  const file = fileOf(fleet)
  mkdirSync(dirname(file), {recursive: true})
  writeFileSync(file, text)
  chmodSync(file, mode)
  return file
}

test('a running worker serves a registered codebase at once, and again after its next start', async () => {
  await using fleet = await startFleet()
  const [first = '', second = ''] = ['first', 'second'].map((name) => repository(join(fleet.path, name)))
  const worker = await fleet.worker('w', [first])
  const {code, stdout} = await fleet.cli(['register', second, '--description', 'Another one'])
  expect(stdout).toMatch(/The running worker w \(pid \d+\) now serves .*second\.\nWritten to .*config\.json\.\n/)
  expect(code).toBe(0)
  const task = await fleet.http.task(await fleet.codebaseId(second), {prompt: '@lines=1'})
  expect((await fleet.ended(task.id)).status).toBe('completed')
  expect(worker.stderr()).not.toMatch(/Falling back to polling/) // the open stream gets the new codebase
  expect(configured(fleet)).toEqual([{name: 'second', path: second, description: 'Another one'}])
  expect(statSync(fileOf(fleet)).mode & 0o777).toBe(0o600)
  await stop(worker)
  const again = await fleet.worker('w', [first])
  expect(again.stderr()).toMatch(/Registered codebase 'second'/)
  expect((await fleet.cli(['register', second, '--description', 'Another one'])).stdout).toMatch(/already contains it/)
})

test('without a running worker the codebase is registered with the server, and the next start serves it under the same id', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const {code, stdout} = await fleet.cli(['register', path, '--name', 'w', '--codebase', 'api'])
  expect(code).toBe(0)
  const id = await fleet.codebaseId(path)
  expect(stdout).toContain(`Registered codebase 'api' (ID: ${id}) at ${path}.`)
  const task = await fleet.http.task(id, {prompt: '@lines=1'})
  await fleet.worker('w', [])
  expect((await fleet.ended(task.id)).status).toBe('completed')
  expect(await fleet.codebaseId(path)).toBe(id)
})

test('without a path the current directory is registered, and JSON describes the result', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const {code, stdout} = await fleet.run(['register', '--json'], {cwd: path})
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({path, file: fileOf(fleet), worker: null, codebase: {name: 'p', path}})
})

test('--dry-run says what would be done, with and without a worker, and changes nothing', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const dry = () => fleet.cli(['register', path, '--dry-run'])
  expect(await dry()).toMatchObject({
    code: 0,
    stdout: `Would register ${path} with the control plane.\nWould write the codebase to ${fileOf(fleet)}.\n`,
  })
  expect(await fleet.codebaseId(path)).toBe('')
  await fleet.worker('w', [repository(join(fleet.path, 'other'))])
  expect((await dry()).stdout).toMatch(/^Would ask the running worker w \(pid \d+\) to serve .*\/p\.\n/)
  expect(await fleet.codebaseId(path)).toBe('')
  expect(existsSync(fileOf(fleet))).toBe(false)
})

test('an unreadable, unwritable or broken configuration is reported before anything is registered', async () => {
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const register = () => fleet.run(['register', path], {by: subjectToPermissions})
  const file = writeConfig(fleet, '{"log_level": "debug"}\n', 0o000)
  expect(await register()).toMatchObject({code: 73, stderr: expect.stringMatching(/Cannot write .*config\.json/)})
  chmodSync(file, 0o400)
  chmodSync(dirname(file), 0o500)
  expect(await register()).toMatchObject({code: 73, stderr: expect.stringMatching(/Cannot write .*config\.json/)})
  chmodSync(dirname(file), 0o700)
  writeConfig(fleet, '{"codebases": [')
  expect(await register()).toMatchObject({code: 78, stderr: expect.stringMatching(/is not valid JSON/)})
  expect(await fleet.codebaseId(path)).toBe('')
  writeConfig(fleet, '{"log_level": "debug"}\n')
  expect((await register()).code).toBe(0)
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({log_level: 'debug', codebases: [{name: 'p', path}]})
})

test('if the worker refuses the codebase, it says why, and nothing is written', async () => {
  await using fleet = await startFleet({isPlaneProcess: true})
  const worker = await fleet.worker('w', [repository(join(fleet.path, 'first'))])
  const path = repository(join(fleet.path, 'p'))
  await fleet.killPlane()
  await says(worker, 'out of reach')
  expect(await fleet.cli(['register', path])).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/The worker refused: Cannot register the codebase .*nothing listens there/),
  })
  expect(existsSync(fileOf(fleet))).toBe(false)
})
