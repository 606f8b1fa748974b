import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startFaultProxy, type ProxyAction} from '../../../chaos/fault-proxy.ts'
import {stop} from '../../support/cli.ts'
import {startFleet, type FleetOptions} from '../../support/fleet.ts'
import {repository, until} from '../../support/scratch.ts'
import {says} from '../../support/workshop.ts'

/** A worker behind a proxy that does this with its confirmations: with the first, the second, and so on. */
async function world(actions: readonly ProxyAction[], options: FleetOptions & {args?: string[]} = {}) {
  const fleet = await startFleet(options)
  const proxy = await startFaultProxy(fleet.url)
  const path = repository(join(fleet.path, 'p'))
  const requests: string[] = []
  let confirmations = 0
  proxy.chooseAction = (request) => {
    requests.push(request)
    if (!request.includes('/tasks/claim')) return {do: 'pass'}
    return actions[confirmations++] ?? {do: 'pass'}
  }
  const start = () => fleet.workerAt(proxy.url, 'w', [path], options.args)
  const worker = await start()
  const codebase = await fleet.codebaseId(path)
  const starts = () => {
    const text = readFileSync(join(fleet.path, 'agent.log'), {encoding: 'utf8', flag: 'a+'})
    return text.split('\n').filter((line) => line.includes('"prompt"')).length
  }
  return {
    ...{fleet, proxy, worker, start, codebase, requests, starts},
    confirmations: () => confirmations,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await fleet[Symbol.asyncDispose]()
    },
  }
}

test('an assigned task needs one request to begin: its confirmation, and no claim that returns the task', async () => {
  await using one = await world([])
  const {id} = await one.fleet.http.task(one.codebase, {prompt: '@ms=500'})
  const ended = await one.fleet.ended(id)
  expect(ended).toMatchObject({status: 'completed', attempt: 1, returns: 0})
  const about = one.requests.filter((line) => line.includes('/tasks/claim') || line.includes(id))
  expect(about.map((line) => line.replace(id, 'ID').replace(/\?.*/, ''))).toEqual([
    'POST /v1/worker/tasks/claim',
    ...about.slice(1, -1).map(() => expect.stringMatching(/output|status/)),
    'PUT /v1/opencode/tasks/ID/status',
  ])
})

test('the agent starts while the confirmation is on its way; a lost answer to it is asked for again', async () => {
  await using one = await world([
    {do: 'delay', ms: 1500},
    {do: 'reset', when: 'after'},
  ])
  const {id} = await one.fleet.http.task(one.codebase, {prompt: '@ms=3000'})
  await until(() => one.starts() === 1, 'the agent')
  expect(await one.fleet.ended(id)).toMatchObject({status: 'completed', attempt: 1})
  const second = await one.fleet.http.task(one.codebase, {prompt: '@ms=3000'})
  expect(await one.fleet.ended(second.id)).toMatchObject({status: 'completed', attempt: 1})
  expect([one.starts(), one.confirmations()]).toEqual([2, 3])
})

/** The agents that are alive. */
function alive(path: string): number[] {
  const lines = readFileSync(join(path, 'agent.log'), {encoding: 'utf8', flag: 'a+'})
    .split('\n')
    .filter((line) => line !== '')
  return lines
    .map((line) => (JSON.parse(line) as {pid: number}).pid)
    .filter((pid) => {
      try {
        return !/ [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1').split(')').at(-1)?.slice(0, 4) ?? '')
      } catch {
        return false
      }
    })
}

test('an assignment that cannot be confirmed is over at the worker before it lapses, and the next attempt runs alone', async () => {
  await using one = await world([])
  const choose = one.proxy.chooseAction
  let isCut = true
  one.proxy.chooseAction = (request) => (isCut ? {do: 'hang'} : choose(request))
  const {id} = await one.fleet.http.task(one.codebase, {prompt: '@hang'})
  const begun = performance.now()
  await until(() => one.starts() === 1, 'the agent')
  await says(one.worker, /Task not taken: its assignment could not be confirmed in time/)
  expect(performance.now() - begun).toBeLessThan(10_000)
  expect(alive(one.fleet.path)).toEqual([])
  isCut = false
  one.proxy.cut()
  await until(async () => (await one.fleet.http.get(id)).attempt > 1, 'the task to be given away')
  await until(() => one.starts() === 2, 'the next attempt')
  expect(alive(one.fleet.path)).toHaveLength(1)
  expect((await one.fleet.cli(['tasks', 'cancel', id, '--wait'])).code).toBe(0)
})

test('output that was acknowledged confirms an assignment whose confirmation is not answered', async () => {
  await using one = await world([{do: 'hang'}])
  const {id} = await one.fleet.http.task(one.codebase, {prompt: '@lines=5 @ms=8000'})
  expect(await one.fleet.ended(id)).toMatchObject({status: 'completed', attempt: 1})
  expect(one.starts()).toBe(1)
})

test('a refused confirmation ends what was begun, and is no failure of the task', async () => {
  const body = '{"detail":"Task x is held by worker v (attempt 2)"}'
  const headers = {'content-type': 'application/json'}
  await using one = await world([{do: 'answer', status: 409, headers, body}])
  const {id} = await one.fleet.http.task(one.codebase, {prompt: '@ms=20000'})
  await says(one.worker, /Task not taken: .*Task x is held by worker v \(attempt 2\)/)
  await until(async () => (await one.fleet.http.get(id)).status === 'running', 'the next attempt')
  expect(await one.fleet.http.get(id)).toMatchObject({error: null, attempt: 2})
  await until(() => alive(one.fleet.path).length === 1, 'the agent of the next attempt')
  expect((await one.fleet.cli(['tasks', 'cancel', id, '--wait'])).code).toBe(0)
})

test('a refused token says nothing about an assignment: it is confirmed again', async () => {
  const answer = (status: number): ProxyAction => ({do: 'answer', status, headers: {}, body: '{"detail":"no"}'})
  await using one = await world([answer(401), answer(403), answer(503)])
  const {id} = await one.fleet.http.task(one.codebase, {prompt: '@ms=6000'})
  await until(() => one.confirmations() >= 4, 'four confirmations')
  expect(await one.fleet.ended(id)).toMatchObject({status: 'completed', attempt: 1})
  expect(one.starts()).toBe(1)
})

test('a worker that is killed between start and confirmation adopts its agent, and the task runs once', async () => {
  await using one = await world([{do: 'hang'}])
  const {id} = await one.fleet.http.task(one.codebase, {prompt: '@ms=4000'})
  await until(() => one.starts() === 1 && one.confirmations() === 1, 'the agent and its confirmation')
  await stop(one.worker, 'SIGKILL')
  await one.start()
  expect(await one.fleet.ended(id)).toMatchObject({status: 'completed', attempt: 1})
  expect(one.starts()).toBe(1)
})

test('a task that any machine may have is started only once it is confirmed', async () => {
  await using one = await world([{do: 'hang'}], {env: {A2A_GLOBAL_CODEBASE: process.cwd()}})
  const {id} = await one.fleet.http.task('global', {prompt: '@ms=100'})
  await until(() => one.confirmations() === 1, 'the confirmation')
  await until(async () => (await one.fleet.http.get(id)).attempt > 1, 'the assignment to lapse')
  expect(one.starts()).toBe(0)
  expect(await one.fleet.ended(id)).toMatchObject({status: 'completed'})
  expect(one.starts()).toBe(1)
})

test('two tasks of one codebase: the second is declined or waits, and both run, one after the other', async () => {
  await using one = await world([])
  const tasks = await Promise.all([1, 2, 3].map(() => one.fleet.http.task(one.codebase, {prompt: '@ms=200'})))
  for (const {id} of tasks) expect(await one.fleet.ended(id)).toMatchObject({status: 'completed', attempt: 1})
})
