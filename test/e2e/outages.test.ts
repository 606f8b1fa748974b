import {existsSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {answering, finish, printing, stepStart, tool} from '../support/agent-lines.ts'
import type {Running} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {processesOf, toldBy} from '../support/opencode-fleet.ts'
import {startProxy, type Proxy} from '../support/proxy.ts'
import {repository, until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'
import {says} from '../support/workshop.ts'

/** A worker whose connection to the control plane fails at times. Its agent prints the same events as OpenCode. */
let fleet: Awaited<ReturnType<typeof startFleet>>
let proxy: Proxy
let worker: Running
let codebases: {id: string; path: string}[] = []

beforeAll(async () => {
  fleet = await startFleet({isPlaneProcess: true, env: {OPENCODE_BIN_PATH: stubBinary}})
  proxy = await startProxy(fleet.url)
  const paths = ['one', 'two'].map((name) => repository(join(fleet.path, name)))
  worker = await fleet.workerAt(proxy.url, 'w', paths, ['--poll-interval', '1', '--max-concurrent-tasks', '3'])
  codebases = await Promise.all(paths.map(async (path) => ({path, id: await fleet.codebaseId(path)})))
}, 120_000)
afterAll(async () => {
  await proxy[Symbol.asyncDispose]()
  await fleet[Symbol.asyncDispose]()
})

const codebase = (index: number) => codebases[index] ?? {id: '', path: ''}

/** A task whose shell command goes on until it is told to end. */
async function holding(index: number, name: string) {
  const {id, path} = codebase(index)
  const cmd = `touch ${name}.begun; while [ ! -e ${name}.go ]; do sleep 0.05; done`
  const turn = printing(tool('bash', {status: 'completed', title: 'Waits'}), finish('tool-calls'))
  const task = await fleet.http.task(id, {prompt: `${printing(stepStart())}${cmd}\n${turn}${answering(name)}`})
  const file = (end: string) => join(path, `${name}.${end}`)
  return {
    id: task.id,
    hasBegun: () => existsSync(file('begun')),
    begun: () =>
      until(
        () => existsSync(file('begun')),
        () => `${name} to begin; ${toldBy(fleet, worker)}`,
      ),
    letGo: () => writeFileSync(file('go'), ''),
  }
}

test('two codebases are worked in at once, and each by one task only', async () => {
  const first = await holding(0, 'first')
  const second = await holding(0, 'second')
  const other = await holding(1, 'other')
  await Promise.all([first.begun(), other.begun()])
  expect(second.hasBegun()).toBe(false)
  expect(await fleet.http.get(second.id)).toMatchObject({status: 'pending', waiting: expect.stringContaining(first.id)})
  expect((await fleet.cli(['tasks', 'cancel', second.id])).code).toBe(0)
  for (const {letGo} of [first, other]) letGo()
  for (const {id} of [first, other]) expect(await fleet.ended(id)).toMatchObject({status: 'completed', attempt: 1})
})

test('a stream that is cut and refused under a running task takes nothing from it, and the next one is polled', async () => {
  const running = await holding(0, 'running')
  await running.begun()
  proxy.rule = (path) => (path.includes('/tasks/stream') ? 'refuse' : 'pass')
  proxy.cut(/\/tasks\/stream/)
  await says(worker, 'Falling back to polling')
  const polled = await fleet.http.task(codebase(1).id, {prompt: 'polled', agent_type: 'echo'})
  expect(await fleet.ended(polled.id)).toMatchObject({status: 'completed', result: 'polled', attempt: 1})
  running.letGo()
  expect(await fleet.ended(running.id)).toMatchObject({status: 'completed', result: 'running', attempt: 1})
  proxy.rule = () => 'pass'
  await says(worker, /Falling back to polling[^]*Task stream connected/)
})

test('a control plane that is killed and started again under a running task costs it nothing', async () => {
  const {id, begun, letGo} = await holding(0, 'held')
  await begun()
  await until(async () => (await fleet.output(id)).includes('step_start'), 'the first output')
  await fleet.killPlane()
  letGo()
  // The agent ends while there is nobody to report to.
  await until(() => processesOf(id).length === 0, 'the agent to end')
  await fleet.restartPlane()
  expect(await fleet.ended(id)).toMatchObject({status: 'completed', result: 'held', attempt: 1})
  const events = (await fleet.output(id))
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as {type: string}).type)
  expect(events).toEqual(['step_start', 'tool_use', 'step_finish', 'step_start', 'text', 'step_finish'])
})
