import {mkdirSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {readIfThere} from '../../src/lib/core/paths/read-if-there.ts'
import {isAlive, identify} from '../../src/lib/executor/processes/processes.ts'
import {repository, until} from '../support/scratch.ts'
import {openWorkshop, says, type Workshop} from '../support/workshop.ts'

const at = (shop: Workshop) => ({cwd: repository(join(shop.path, 'project'))})
const agents = (shop: Workshop) =>
  (readIfThere(join(shop.path, 'agent.log')) ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as {at: string; pid: number; cwd: string; args: string[]; prompt: string})
    .filter((one) => one.at === 'start')

test('run does one task in this directory, prints the result, and exits by the outcome', async () => {
  await using shop = openWorkshop()
  const place = at(shop)
  const done = await shop.cli(['run', '@lines=3'], place)
  expect(done).toMatchObject({code: 0, stdout: 'line 0\nline 1\nline 2\n'})
  const failed = await shop.cli(['run', '@nofinish @exit=1'], place)
  expect(failed.code).toBe(1)
  expect(failed.stderr).toMatch(/^failed: /m)
  expect(agents(shop).map(({cwd}) => cwd)).toEqual([place.cwd, place.cwd])
})

test('run takes its prompt from stdin, shows what the agent does with --follow, and prints JSON', async () => {
  await using shop = openWorkshop()
  const place = at(shop)
  const shown = await shop.cli(['run', '-', '--agent', 'plan', '--model', 'stub/fast', '--follow'], {
    ...place,
    input: '@lines=2',
  })
  expect(shown).toMatchObject({code: 0, stdout: expect.stringContaining('line 1')})
  expect(agents(shop)[0]?.args).toEqual(expect.arrayContaining(['--agent', 'plan', '--model', 'stub/fast']))
  const {stdout} = await shop.cli(['run', '@lines=1', '--title', 'Mine', '--json'], place)
  expect(JSON.parse(stdout)).toMatchObject({title: 'Mine', status: 'completed', result: 'line 0'})
})

test('run does its own task, not one that waits, and leaves no worker behind', async () => {
  await using shop = openWorkshop()
  const place = at(shop)
  const worker = shop.start(['start', '--exit-after-idle', '1'], place)
  await says(worker, 'Task stream connected')
  await until(() => worker.process.exitCode !== null, 'the worker to end')
  // without a worker the control plane has ended: this run brings it back with a task that waits
  const first = shop.start(['run', '@hang'], place)
  await until(() => agents(shop).length === 1, 'the first run')
  const created = await shop.cli(['tasks', 'create', '@lines=1', '--title', 'Waits'], place)
  expect(created.code).toBe(0)
  const second = shop.start(['run', '@lines=2'], place)
  await says(second, 'Another run works in this directory; this one begins when it has ended.')
  first.process.kill('SIGINT')
  await until(() => first.process.exitCode !== null && second.process.exitCode !== null, 'both runs to end', 60_000)
  expect([first.process.exitCode, second.process.exitCode]).toEqual([3, 0])
  expect(second.stdout()).toBe('line 0\nline 1\n')
  expect(agents(shop)).toHaveLength(2)
  expect((await shop.cli(['workers', 'list'], place)).code).toBe(69)
})

test('a worker of this machine that serves the directory runs the task', async () => {
  await using shop = openWorkshop()
  const place = at(shop)
  const worker = shop.start(['start'], place)
  await says(worker, 'Task stream connected')
  expect(await shop.cli(['run', '@lines=1'], place)).toMatchObject({code: 0, stdout: 'line 0\n'})
  await says(worker, /completed/)
  expect(readdirSync(join(shop.path, 'state/workers'))).toHaveLength(1)
})

test('Ctrl-C cancels the task with its processes: exit 3', async () => {
  await using shop = openWorkshop()
  const place = at(shop)
  const run = shop.start(['run', '@hang'], place)
  await until(() => agents(shop).length === 1, 'the agent')
  const agent = identify(agents(shop)[0]?.pid ?? 0)
  run.process.kill('SIGINT')
  await until(() => run.process.exitCode !== null, 'its end')
  expect(run.process.exitCode).toBe(3)
  expect(isAlive(agent)).toBe(false)
})

test('a configured server is not used, and home, root and a machine without OpenCode are refused', async () => {
  await using shop = openWorkshop({A2A_SERVER_URL: 'http://127.0.0.1:9'})
  const place = at(shop)
  expect((await shop.cli(['run', '@lines=1'], place)).code).toBe(0)
  const home = join(shop.path, 'home')
  mkdirSync(home, {recursive: true})
  expect(await shop.cli(['run', 'x'], {cwd: home})).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('it contains the home directory'),
  })
  const env = {...shop.env, OPENCODE_BIN_PATH: '/nowhere/opencode'}
  const {code, stderr} = await shop.cli(['run', 'x'], {...place, env})
  expect(code).toBe(78)
  expect(stderr).toContain('/nowhere/opencode')
})

test('a run whose worker cannot start leaves no task to the next run, and says only why', async () => {
  await using shop = openWorkshop()
  const place = at(shop)
  const refused = await shop.cli(['run', 'The first'], {...place, env: {...shop.env, OPENCODE_BIN_PATH: '/nowhere'}})
  expect(refused.code).not.toBe(0)
  expect(refused.stderr).toMatch(/^Error: /)
  expect(await shop.cli(['run', 'The second'], place)).toMatchObject({code: 0})
  expect(agents(shop).map(({prompt}) => prompt)).toEqual([expect.stringContaining('The second')])
})
