import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {startFaultProxy, type ProxyAction} from '../../../chaos/fault-proxy.ts'
import {startFleet, type FleetOptions} from '../../support/fleet.ts'
import {repository, until} from '../../support/scratch.ts'

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

test('output that was acknowledged confirms an assignment whose confirmation is not answered', async () => {
  await using one = await world([{do: 'hang'}])
  const {id} = await one.fleet.http.task(one.codebase, {prompt: '@lines=5 @ms=8000'})
  expect(await one.fleet.ended(id)).toMatchObject({status: 'completed', attempt: 1})
  expect(one.starts()).toBe(1)
})

test('a refused token says nothing about an assignment: it is confirmed again', async () => {
  const answer = (status: number): ProxyAction => ({do: 'answer', status, headers: {}, body: '{"detail":"no"}'})
  await using one = await world([answer(401), answer(403), answer(503)])
  const {id} = await one.fleet.http.task(one.codebase, {prompt: '@ms=6000'})
  await until(() => one.confirmations() >= 4, 'four confirmations')
  expect(await one.fleet.ended(id)).toMatchObject({status: 'completed', attempt: 1})
  expect(one.starts()).toBe(1)
})

test('two tasks of one codebase: the second is declined or waits, and both run, one after the other', async () => {
  await using one = await world([])
  const tasks = await Promise.all([1, 2, 3].map(() => one.fleet.http.task(one.codebase, {prompt: '@ms=200'})))
  for (const {id} of tasks) expect(await one.fleet.ended(id)).toMatchObject({status: 'completed', attempt: 1})
})
