import {expect, test} from 'vitest'
import {systemClock} from '../../src/lib/core/clock.ts'
import {limits} from '../../src/lib/protocol/limits.ts'
import {pathTo} from '../../src/lib/protocol/routes.ts'
import {Api} from './support/api.ts'
import {Listener} from './support/events.ts'
import {startPlane, until} from './support/plane.ts'

const piece = 'x'.repeat(50_000)

async function startPlaneWithRetention(options: Parameters<typeof startPlane>[0] = {}) {
  const plane = await startPlane(options)
  const api = new Api(plane.url)
  await api.registerOwn('w', {max_concurrent_tasks: 10})
  const run = async (pieces: number) => {
    const {id} = await api.create('global')
    await api.claim(id, 'w')
    for (let i = 0; i < pieces; i++) await api.output(id, 'w', piece)
    return id
  }
  const finish = (id: string, more: object = {}) => api.report(id, 'w', 'completed', more)
  const page = async (id: string, since = 0) => (await api.get('taskOutput', {task: id}, {query: {since}})).body
  return {plane, api, run, finish, page, [Symbol.asyncDispose]: () => plane.close()}
}

test('above the size limit, the output of the task that ended first is removed first, and its page says so', async () => {
  await using one = await startPlaneWithRetention({retention: {maxBytes: 260_000, intervalMs: 20}})
  const {api} = one
  const [second, first, running] = [await one.run(2), await one.run(2), await one.run(20)]
  await one.finish(first, {result: `${'a'.repeat(limits.result)}the end`})
  await one.finish(second)
  expect(await one.page(second)).toMatchObject({total: 2, truncated: false})
  const third = await one.run(1)
  await one.finish(third)
  await until(async () => (await one.page(first)).truncated)
  await until(async () => (await one.page(first)).outputs.length === 0)
  expect(await one.page(first)).toMatchObject({task_id: first, outputs: [], total: 2, next: 2, truncated: true})
  expect(await one.page(first, 2)).toMatchObject({next: 2, truncated: false})
  await until(async () => (await api.task(first)).result?.length === limits.result)
  expect(await api.task(first)).toMatchObject({status: 'completed', result: expect.stringMatching(/the end$/)})
  for (const id of [second, third, running]) expect((await one.page(id)).truncated).toBe(false)
  expect((await one.page(running)).total).toBe(20)

  await using follower = await Listener.open(api, pathTo('taskOutputStream', {task: first}))
  await until(() => follower.isEnded)
  expect(follower.data('done')).toEqual([{status: 'completed'}])
  expect(one.plane.log).toEqual([])
})

test('old output is removed at any size, but not while its task runs', async () => {
  let ahead = 0
  const clock = {...systemClock, now: () => Date.now() + ahead}
  await using one = await startPlaneWithRetention({clock, retention: {maxAgeMs: 60_000, intervalMs: 20}})
  const [ended, running] = [await one.run(1), await one.run(1)]
  await one.finish(ended)
  ahead = 61_000
  await until(async () => (await one.page(ended)).truncated)
  await one.api.output(running, 'w', 'more')
  expect(await one.page(running)).toMatchObject({total: 2, truncated: false})
})

test('a task that runs again has its new output until that is too old', async () => {
  let ahead = 0
  const clock = {...systemClock, now: () => Date.now() + ahead}
  await using one = await startPlaneWithRetention({clock, retention: {maxAgeMs: 60_000, intervalMs: 20}})
  const id = await one.run(2)
  await one.finish(id)
  ahead = 61_000
  await until(async () => (await one.page(id)).outputs.length === 0)
  await one.api.post('taskRetry', {task: id})
  await one.api.claim(id, 'w')
  await one.api.output(id, 'w', 'new')
  await one.finish(id)
  expect(await one.page(id)).toMatchObject({outputs: [{output: 'new', attempt: 2}], total: 3, next: 3, truncated: true})
  ahead = 130_000
  await until(async () => (await one.page(id)).outputs.length === 0)
})

test('many small pieces are removed in steps, and the control plane answers meanwhile', async () => {
  await using one = await startPlaneWithRetention({retention: {maxBytes: 0, intervalMs: 20}})
  const {api} = one
  const {id} = await api.create('global')
  await api.claim(id, 'w')
  for (let i = 0; i < 25; i++) await Promise.all(Array.from({length: 100}, () => api.output(id, 'w', 'a line\n')))
  await one.finish(id)
  await until(async () => (await one.page(id)).outputs.length === 0)
  expect((await one.page(id)).total).toBe(2500)
})

test('ended tasks are removed after a while with their output; waiting and running ones, workers and tokens stay', async () => {
  let ahead = 0
  const clock = {...systemClock, now: () => Date.now() + ahead}
  await using one = await startPlaneWithRetention({clock, retention: {taskAgeMs: 60_000, intervalMs: 20}})
  const {api} = one
  const many = await Promise.all(Array.from({length: 250}, () => api.create('global')))
  for (const {id} of many) {
    await api.claim(id, 'w')
    await api.report(id, 'w', 'completed')
  }
  const long = await one.run(3)
  await one.finish(long)
  const running = await one.run(1)
  const waiting = await api.create('global', {metadata: {required_capabilities: ['x']}})
  ahead = 61_000
  await until(async () => (await api.get('tasks', {}, {query: {limit: 1000}})).body.length === 2)
  expect((await api.get('task', {task: long})).status).toBe(404)
  expect((await api.get('taskOutput', {task: long})).status).toBe(404)
  expect((await one.page(running)).outputs).toHaveLength(1)
  expect((await api.task(waiting.id)).status).toBe('pending')
  expect((await api.get('workers')).body).toHaveLength(1)
  expect(one.plane.log).toEqual([])
})
