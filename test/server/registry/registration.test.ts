import {expect, test} from 'vitest'
import {systemClock} from '../../../src/lib/core/clock.ts'
import {parseTokens} from '../../../src/lib/server/http/auth.ts'
import {Api} from '../support/api.ts'
import {openStream} from '../support/events.ts'
import {startPlane, until} from '../support/plane.ts'

const wanted = {name: 'app', path: '/src/app'}
const missing = 'Path does not exist on this worker: /src/app'

test('a registration that no worker accepts is offered to each connected worker once, then it fails', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  for (const worker of ['w1', 'w2', 'w3']) await api.registerOwn(worker)
  await using one = await openStream(api, 'w1')
  await using two = await openStream(api, 'w2')
  await using three = await openStream(api, 'w3')
  const streams = {w1: one, w2: two, w3: three}
  const {task_id: id} = (await api.post('codebases', {}, wanted)).body
  const asked: string[] = []
  for (const reason of [missing, 'Path is not allowed on this worker: /src/app', missing]) {
    const next = await until(() =>
      Object.entries(streams).find(([worker, {tasks}]) => tasks.includes(id) && !asked.includes(worker)),
    )
    asked.push(next[0])
    expect((await api.task(id)).status).toBe('pending')
    await api.post('decline', {}, {task_id: id, reason}, {query: {worker_id: next[0]}})
  }

  expect(await api.task(id)).toMatchObject({status: 'failed', error: missing})
  for (const {tasks} of Object.values(streams)) expect(tasks).toEqual([id])
})

test('a registration waits for a connected worker that has not answered, and fails when that worker leaves', async () => {
  let ahead = 0
  const clock = {...systemClock, monotonic: () => performance.now() + ahead}
  await using plane = await startPlane({clock, timings: {offerMs: 100}})
  const api = new Api(plane.url)
  await api.registerOwn('w1')
  await api.registerOwn('polls')
  await using stream = await openStream(api, 'w1')
  const {task_id: id} = (await api.post('codebases', {}, wanted)).body
  await stream.pushed(id)
  await api.post('decline', {}, {task_id: id, reason: missing}, {query: {worker_id: 'w1'}})
  expect((await api.task(id)).status).toBe('pending')
  expect(stream.tasks).toEqual([id])
  ahead = 50_000
  await until(async () => (await api.task(id)).status === 'failed')
})

test('a registration is also offered to a worker that connects later', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w1')
  const {task_id: id} = (await api.post('codebases', {}, wanted)).body
  expect((await api.task(id)).waiting).toBe('no worker is connected')
  await using late = await openStream(api, 'w1')
  await late.pushed(id)
})

test('a finished registration has the id of the codebase in its metadata', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w1')
  const byPath = (await api.post('codebases', {}, {...wanted, path: '/src/app/'})).body.task_id
  await api.claim(byPath, 'w1')
  const codebase = await api.codebase('w1', '/src/app')
  const done = (await api.report(byPath, 'w1', 'completed', {result: 'done'})).body.task
  expect(done.metadata).toMatchObject({path: '/src/app/', codebase_id: codebase, worker_id: 'w1'})

  const byWords = (await api.post('codebases', {}, {name: 'link', path: '~/link'})).body.task_id
  await api.claim(byWords, 'w1')
  const result = `Codebase registered successfully with ID: ${codebase}`
  expect((await api.report(byWords, 'w1', 'completed', {result})).body.task.metadata.codebase_id).toBe(codebase)

  const lie = (await api.post('codebases', {}, {name: 'x', path: '/x'})).body.task_id
  await api.claim(lie, 'w1')
  const nothing = (await api.report(lie, 'w1', 'completed', {result: 'with ID: nothing'})).body.task
  expect(nothing.metadata).not.toHaveProperty('codebase_id')
})

test('a failure other than a missing path ends the registration at once', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w1')
  await api.registerOwn('w2')
  const {task_id: id} = (await api.post('codebases', {}, wanted)).body
  await api.claim(id, 'w1')
  const error = 'Failed to register codebase with server'
  expect((await api.report(id, 'w1', 'failed', {error})).body.task).toMatchObject({status: 'failed', error})
})

test("the same Idempotency-Key creates one registration, and a worker's token may not create any", async () => {
  await using plane = await startPlane({tokens: parseTokens('me:admin,w/worker=w1:worker,ci/client:client')})
  const [admin, worker, client] = ['admin', 'worker', 'client'].map((token) => new Api(plane.url, token)) as [
    Api,
    Api,
    Api,
  ]
  await admin.registerOwn('w1')
  const headers = {'idempotency-key': 'k'}
  const ids = [1, 2].map(() => client.post('codebases', {}, wanted, {headers}))
  expect(new Set((await Promise.all(ids)).map(({body}) => body.task_id)).size).toBe(1)
  expect((await client.post('codebases', {}, {...wanted, name: 'other'}, {headers})).status).toBe(409)
  expect((await worker.post('codebases', {}, wanted)).status).toBe(403)
  expect((await client.post('codebases', {}, {name: 'x', path: ''})).status).toBe(422)
})
