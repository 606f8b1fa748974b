import {execFileSync} from 'node:child_process'
import {mkdirSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, expect, test} from 'vitest'
import {openCode} from '../support/scripted-model.ts'
import {stop, type Running} from '../support/cli.ts'
import {startOpenCodeFleet, toldBy} from '../support/opencode-fleet.ts'
import {until} from '../support/scratch.ts'

const fleet = await startOpenCodeFleet({A2A_WARM_AGENTS: '1'})
afterAll(() => fleet[Symbol.asyncDispose]())
const path = join(fleet.path, 'api')
mkdirSync(path)
execFileSync('git', ['init', '-q'], {cwd: path})

/** The processes that wait for tasks, by their markers. */
const agents = () =>
  readdirSync('/proc').filter((name) => {
    try {
      const isOurs = readFileSync(`/proc/${name}/environ`, 'latin1').includes(`TMPDIR=${fleet.path}`)
      return isOurs && readFileSync(`/proc/${name}/cmdline`, 'latin1').endsWith('\0acp\0')
    } catch {
      return false
    }
  })

const isWarm = () => readdirSync(join(fleet.path, 'state/workers/w/agents')).some((name) => isWarmedUp(name))

function isWarmedUp(name: string): boolean {
  try {
    const said = readFileSync(join(fleet.path, 'state/workers/w/agents', name, 'messages.ndjson'), 'utf8')
    return said.includes('"id":"warm-up-prompt-1"')
  } catch {
    return false
  }
}

async function runTask(worker: Running, prompt: string) {
  const {code, stdout, stderr} = await fleet.cli([
    'tasks',
    'create',
    '-b',
    path,
    '--title',
    `Title of ${prompt}`,
    '--wait',
    prompt,
  ])
  expect([code, stderr], toldBy(fleet, worker)).toEqual([0, expect.anything()])
  return stdout
}

test('a process is warmed up, runs the tasks of its codebase, and leaves nothing behind', async () => {
  const worker = await fleet.worker('w', [path])
  await until(() => isWarm(), 'an agent that is warmed up', 60_000)
  const [pid] = agents()
  expect(pid).toBeDefined()
  expect(await runTask(worker, 'one')).toContain('You said: one')
  expect(await runTask(worker, '[fake:edit path=new.txt text=hi]')).toContain('Done.')
  expect(readFileSync(join(path, 'new.txt'), 'utf8')).toBe('hi')
  expect(agents()).toEqual([pid])
  // Neither the warm-up nor a title was asked of the user's provider, and no session of the warm-up is left.
  expect(fleet.requests.map(({step}) => step)).toEqual(['text', 'edit', 'text'])
  const env = {...fleet.env, PWD: path}
  const sessions = await until(() => {
    const list = execFileSync(openCode, ['session', 'list'], {cwd: path, env, encoding: 'utf8'})
    return /warm-up|New session/.test(list) ? undefined : list
  }, 'the session of the warm-up to be removed')
  expect(sessions.match(/Title of/g)).toHaveLength(2)

  await stop(worker, 'SIGKILL')
  expect(agents()).toEqual([pid])
  const next = await fleet.worker('w', [path])
  await until(() => !agents().includes(pid ?? ''), 'the agent of the killed worker to be ended')
  expect(await runTask(next, 'two')).toContain('You said: two')
  await stop(next, 'SIGTERM')
  expect(agents()).toEqual([])
}, 180_000)
