import {existsSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startFaultProxy, type ProxyAction} from '../../../chaos/fault-proxy.ts'
import type {WorkerEvent} from '../../../src/lib/events/worker-event.ts'
import {WorkingTreeLocks} from '../../../src/lib/worker/locks/working-tree-locks.ts'
import {answering} from '../../support/agent-lines.ts'
import {hasBegun, startInProcessWorker, type InProcessWorkerOptions} from '../../support/in-process-worker.ts'
import {startPlane} from '../../support/plane.ts'
import {repository, scratchFolder, until} from '../../support/scratch.ts'

const confirmation = /^POST .*\/tasks\/claim/
/** Everything that tells the control plane that the worker has an assignment. */
const confirming = /\/tasks\/claim|\/heartbeat|\/status|\/output/

type SetUp = Pick<InProcessWorkerOptions, 'settings'> & {confirmMs?: number; isPortable?: boolean}

/** A control plane and a worker, with a proxy in between that does `act` with the requests that match `pattern`. */
async function setUp({settings, confirmMs = 10_000, isPortable = false}: SetUp = {}) {
  const stack = new AsyncDisposableStack()
  const scratch = stack.use(scratchFolder())
  const plane = stack.use(await startPlane({timings: {confirmMs}}))
  const proxy = stack.use(await startFaultProxy(plane.url))
  const tree = repository(join(scratch.path, 'p'))
  const worker = stack.use(
    await startInProcessWorker(proxy.url, isPortable ? [] : [tree], {
      factor: 1,
      ...(settings ? {settings} : {}),
      ...(isPortable ? {globalPath: tree} : {}),
    }),
  )
  const {codebases} = worker.running
  const codebase = await until(() => (isPortable ? 'global' : codebases.idOf(tree)), 'the codebase')
  await until(() => ['stream', 'poll'].includes(worker.running.intake.connection), 'the connection')
  const requests: string[] = []
  proxy.chooseAction = (request) => {
    requests.push(request)
    return {do: 'pass'}
  }
  const events = <T extends WorkerEvent['type']>(type: T) =>
    worker.events.filter((event): event is Extract<WorkerEvent, {type: T}> => event.type === type)
  return {
    ...{plane, proxy, worker, tree, scratch: scratch.path, requests, events},
    begin: async (prompt: string) => (await plane.task(codebase, {prompt})).id,
    disturb(pattern: RegExp, act: ProxyAction) {
      proxy.chooseAction = (request) => {
        requests.push(request)
        return pattern.test(request) ? act : {do: 'pass'}
      }
    },
    completed: (id: string) =>
      until(async () => {
        const task = await plane.get(id)
        return task.status === 'completed' ? task : undefined
      }, 'the task to be completed'),
    /** Resolves with the pid of the agent. */
    started: (times = 1) => until(() => events('task.started')[times - 1]?.pid, 'the agent to start'),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

/** A script that does not end at its first start, and answers at the next. */
const endlessOnce = (file: string) =>
  `if [ -e ${file} ]; then\n${answering('hi')}exit; fi\ntouch ${file}\nexec sleep 600`

function isRunning(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

test('a task of a codebase starts before its confirmation is answered, once, although its frame is repeated', async () => {
  await using at = await setUp()
  at.disturb(confirming, {do: 'hang'})
  const gate = join(at.scratch, 'gate')
  const id = await at.begin(`while [ ! -e ${gate} ]; do sleep 0.05; done\n${answering('hi')}`)
  await at.started()
  expect(await at.plane.get(id)).toMatchObject({status: 'assigned', attempt: 1, waiting: 'assigned to here'})
  at.proxy.cut(/tasks\/stream/)
  await until(() => at.requests.some((request) => /tasks\/stream/.test(request)), 'the next stream')
  at.disturb(confirmation, {do: 'pass'})
  await until(async () => (await at.plane.get(id)).status === 'running', 'the confirmation')
  writeFileSync(gate, '')
  expect(await at.completed(id)).toMatchObject({attempt: 1, returns: 0, result: 'hi'})
  expect(at.events('task.started')).toHaveLength(1)
})

test('a refused confirmation ends what was begun at once, and the task returns to the queue with that reason', async () => {
  await using at = await setUp({confirmMs: 3000})
  const detail = 'Task t is at attempt 2: attempt 1 is over'
  const headers = {'content-type': 'application/json'}
  at.disturb(confirmation, {do: 'reset', when: 'before'})
  const id = await at.begin('exec sleep 600')
  const pid = await at.started()
  at.disturb(confirmation, {do: 'answer', status: 409, headers, body: JSON.stringify({detail})})
  const dropped = await until(() => at.events('task.dropped')[0], 'the task to be dropped')
  expect(isRunning(pid)).toBe(false)
  expect(dropped.reason).toContain(detail)
  await until(async () => (await at.plane.get(id)).attempt === 2, 'the assignment to lapse')
  expect(at.events('task.refused')).toEqual([])
})

test('an agent that is not confirmed in time has ended when the assignment lapses', async () => {
  await using at = await setUp({confirmMs: 3000})
  at.disturb(confirming, {do: 'hang'})
  const id = await at.begin(endlessOnce(join(at.scratch, 'once')))
  const pid = await at.started()
  await until(async () => (await at.plane.get(id)).attempt === 2, 'the assignment to lapse')
  expect(isRunning(pid)).toBe(false)
  at.disturb(confirming, {do: 'pass'})
  at.proxy.cut()
  const {attempt, returns} = await at.completed(id)
  expect(attempt - returns).toBe(1)
})

test('a task whose confirmation arrived without an answer is given back, as an attempt that does not count', async () => {
  await using at = await setUp({confirmMs: 3000})
  at.disturb(confirmation, {do: 'reset', when: 'after'})
  const id = await at.begin(endlessOnce(join(at.scratch, 'once')))
  const pid = await at.started()
  const requeued = await until(async () => {
    const task = await at.plane.get(id)
    return task.attempt === 2 ? task : undefined
  }, 'the task to be given back')
  expect(requeued).toMatchObject({attempt: 2, returns: 1})
  expect(isRunning(pid)).toBe(false)
  expect(at.events('task.dropped')[0]?.reason).toMatch(/could not be confirmed in time/)
  at.disturb(confirmation, {do: 'pass'})
  const {attempt, returns} = await at.completed(id)
  expect(attempt - returns).toBe(1)
})

test('one lost answer to a confirmation changes nothing', async () => {
  await using at = await setUp()
  at.disturb(confirmation, {do: 'reset', when: 'after'})
  const id = await at.begin(`sleep 0.5\n${answering('hi')}`)
  await until(() => at.requests.some((request) => confirmation.test(request)), 'the confirmation')
  at.disturb(confirmation, {do: 'pass'})
  expect(await at.completed(id)).toMatchObject({attempt: 1, returns: 0, result: 'hi'})
  expect(at.events('task.started')).toHaveLength(1)
})

const tries = (requests: readonly string[]) => requests.filter((request) => confirmation.test(request)).length

test('a portable task starts only after its confirmation', async () => {
  await using at = await setUp({isPortable: true})
  at.disturb(confirming, {do: 'reset', when: 'before'})
  const id = await at.begin(answering('hi'))
  await until(() => tries(at.requests) > 2, 'the third try to confirm')
  expect(at.events('task.started')).toEqual([])
  at.disturb(confirmation, {do: 'pass'})
  expect(await at.completed(id)).toMatchObject({attempt: 1, returns: 0, result: 'hi'})
})

test('a portable task that cannot be confirmed is given back and never begins here', async () => {
  await using at = await setUp({isPortable: true, confirmMs: 2000})
  at.disturb(confirmation, {do: 'reset', when: 'after'})
  const id = await at.begin(answering('hi'))
  await until(() => at.events('task.dropped').length > 0, 'the worker to give up')
  expect(at.events('task.started')).toEqual([])
  await until(async () => (await at.plane.get(id)).attempt === 2, 'the task to be given back')
  at.disturb(confirmation, {do: 'pass'})
  const {attempt, returns} = await at.completed(id)
  expect(attempt - returns).toBe(1)
})

test('a person is asked for approval only after the confirmation', async () => {
  using folder = scratchFolder()
  const asked = join(folder.path, 'asked')
  await using at = await setUp({settings: {approve_task: `touch ${asked}`}})
  at.disturb(confirming, {do: 'reset', when: 'before'})
  const id = await at.begin(answering('hi'))
  await until(() => tries(at.requests) > 2, 'the third try to confirm')
  expect(existsSync(asked) || hasBegun(at.worker, id)).toBe(false)
  at.disturb(confirmation, {do: 'pass'})
  expect(await at.completed(id)).toMatchObject({attempt: 1, result: 'hi'})
  expect(existsSync(asked)).toBe(true)
})

test('a control plane that is busy is asked again when it wants to be', async () => {
  await using at = await setUp({isPortable: true})
  const headers = {'content-type': 'application/json', 'retry-after': '1'}
  const times: number[] = []
  at.proxy.chooseAction = (request) => {
    if (confirmation.test(request)) times.push(performance.now())
    return confirmation.test(request) && times.length < 3
      ? {do: 'answer', status: 429, headers, body: '{"detail":"slow down"}'}
      : {do: 'pass'}
  }
  expect(await at.completed(await at.begin(answering('hi')))).toMatchObject({attempt: 1, result: 'hi'})
  expect(times).toHaveLength(3)
  for (const [i, time] of times.slice(1).entries()) expect(time - (times[i] ?? 0)).toBeGreaterThan(980)
})

test('a prompt that does not fit into a frame comes with the answer to a claim', async () => {
  await using at = await setUp()
  const id = await at.begin(`# ${'x'.repeat(200_000)}\n${answering('hi')}`)
  expect(await at.completed(id)).toMatchObject({attempt: 1, returns: 0, result: 'hi'})
})

test('a task that cannot be taken is declined, and the attempt does not count', async () => {
  await using at = await setUp()
  const lock = new WorkingTreeLocks(at.worker.stateDir).acquire(at.tree, 'another')
  if (typeof lock === 'string') throw new Error(lock)
  const id = await at.begin(answering('hi'))
  const declined = await until(async () => {
    const task = await at.plane.get(id)
    return task.attempt > 1 && task.status === 'pending' ? task : undefined
  }, 'the task to be declined')
  expect(declined.returns).toBe(declined.attempt - 1)
  expect(declined.waiting).toMatch(/^declined: /)
  lock[Symbol.dispose]()
  const {attempt, returns} = await at.completed(id)
  expect(attempt - returns).toBe(1)
})

test('a worker without a stream is assigned tasks when it polls', async () => {
  await using at = await setUp({settings: {poll_interval: 1}})
  at.disturb(/tasks\/stream/, {do: 'reset', when: 'before'})
  at.proxy.cut(/tasks\/stream/)
  await until(() => at.worker.running.intake.connection === 'poll', 'polling')
  const id = await at.begin(answering('hi'))
  expect(await at.completed(id)).toMatchObject({attempt: 1, returns: 0, result: 'hi'})
  expect(at.events('task.received')).toMatchObject([{source: 'poll'}])
})
