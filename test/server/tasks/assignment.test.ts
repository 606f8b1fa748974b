import {expect, test} from 'vitest'
import {Api} from '../support/api.ts'
import {openStream} from '../support/events.ts'
import {scratch, startPlane, until} from '../support/plane.ts'

const features = ['lease', 'decline', 'fetch', 'assign']

async function world(options: Parameters<typeof startPlane>[0] = {}) {
  const plane = await startPlane(options)
  const api = new Api(plane.url)
  await api.register('w', {features, global_codebase_id: 'g', max_concurrent_tasks: 2})
  const codebase = await api.codebase('w', '/c')
  const confirm = (task_id: string, attempt: number, worker_id = 'w') =>
    api.post('claim', {}, {task_id, attempt}, {query: {worker_id}})
  const decline = (task_id: string, more: object = {}, worker_id = 'w') =>
    api.post('decline', {}, {task_id, reason: 'no', ...more}, {query: {worker_id}})
  const poll = async (worker_id = 'w') =>
    (await api.get('tasks', {}, {query: {status: 'pending', worker_id}})).body as {id: string; status: string}[]
  return {plane, api, codebase, confirm, decline, poll, [Symbol.asyncDispose]: () => plane.close()}
}

test('a task is assigned as it is created: the frame is whole, and the worker confirms it', async () => {
  await using one = await world()
  const {api, codebase} = one
  await using stream = await openStream(api, 'w')
  const {id} = await api.create(codebase, {prompt: 'the prompt'})
  const frame = await stream.pushed(id)
  expect(frame).toMatchObject({
    status: 'assigned',
    worker_id: 'w',
    attempt: 1,
    confirm_ms: 10_000,
    prompt: 'the prompt',
  })
  expect(await api.task(id)).toMatchObject({
    status: 'assigned',
    worker_id: 'w',
    started_at: null,
    waiting: 'assigned to w',
  })
  const confirmed = await one.confirm(id, 1)
  expect(confirmed.body).toMatchObject({success: true, task_id: id, worker_id: 'w', attempt: 1, lease_seconds: 60})
  expect(confirmed.body).not.toHaveProperty('task')
  expect(await api.task(id)).toMatchObject({status: 'running', worker_id: 'w', started_at: expect.any(String)})
  expect((await one.confirm(id, 1)).status).toBe(200)
})

test('a frame is sent only when its assignment is on disk', async () => {
  await using folder = await scratch()
  const database = folder.file('plane.db')
  const first = await world({database})
  const stream = await openStream(first.api, 'w')
  const {id} = await first.api.create(first.codebase)
  await stream.pushed(id)
  await first.plane.close()
  await stream[Symbol.asyncDispose]()
  await using plane = await startPlane({database})
  expect(await new Api(plane.url).task(id)).toMatchObject({status: 'assigned', worker_id: 'w', attempt: 1})
})

test('an assignment that is not confirmed goes to the next worker as the next attempt, and its confirmation is refused', async () => {
  await using one = await world({timings: {confirmMs: 300}})
  const {api} = one
  await api.register('v', {features, global_codebase_id: 'g', max_concurrent_tasks: 2})
  await using streamOfW = await openStream(api, 'w')
  const {id} = await api.create('global')
  await streamOfW.pushed(id)
  await using streamOfV = await openStream(api, 'v')
  expect(await streamOfV.pushed(id)).toMatchObject({attempt: 2, worker_id: 'v', status: 'assigned'})
  expect((await one.confirm(id, 1)).status).toBe(409)
  expect((await one.confirm(id, 2)).status).toBe(409)
  expect((await one.confirm(id, 2, 'v')).status).toBe(200)
  expect(await api.task(id)).toMatchObject({status: 'running', worker_id: 'v', attempt: 2, returns: 1})
})

test('heartbeats, output and reports of its attempt confirm an assignment too', async () => {
  await using one = await world()
  const {api} = one
  await using stream = await openStream(api, 'w')
  const codebases = await Promise.all(['/d', '/e', '/f'].map((path) => api.codebase('w', path)))
  const confirmations = [
    (id: string) => api.heartbeat('w', [{id, attempt: 1}]),
    (id: string) => api.output(id, 'w', 'out', {attempt: 1, offset: 0, length: 3}),
    (id: string) => api.report(id, 'w', 'running', {attempt: 1}),
  ]
  for (const [i, confirmed] of confirmations.entries()) {
    const {id} = await api.create(codebases[i] ?? '')
    await stream.pushed(id)
    expect((await confirmed(id)).status).toBe(200)
    expect((await api.task(id)).status).toBe('running')
    await api.report(id, 'w', 'completed', {attempt: 1})
  }
})

test('a declined assignment goes to another worker at once, and does not count as a try', async () => {
  await using one = await world()
  const {api} = one
  await using first = await openStream(api, 'w')
  const {id} = await api.create('global')
  await first.pushed(id)
  await api.register('v', {features, global_codebase_id: 'g'})
  await using second = await openStream(api, 'v')
  await one.decline(id, {attempt: 1})
  expect(await second.pushed(id)).toMatchObject({attempt: 2, worker_id: 'v'})
  await one.decline(id, {attempt: 1}) // late: it changes nothing
  expect(await api.task(id)).toMatchObject({status: 'assigned', worker_id: 'v', attempt: 2, returns: 1})
})

test('a worker that declines again and again is asked ever more rarely', async () => {
  await using one = await world()
  const {api, codebase} = one
  await using stream = await openStream(api, 'w')
  const {id} = await api.create(codebase)
  for (const attempt of [1, 2]) {
    await until(() => stream.data('task_available').some((frame) => frame.attempt === attempt))
    await one.decline(id, {attempt})
  }
  const {attempt, waiting} = await api.task(id)
  expect([attempt, waiting]).toEqual([3, 'declined: no'])
  await until(() => stream.data('task_available').length === 3)
})

test('a worker that was paused gets what it declined as soon as it says that it is not', async () => {
  await using one = await world()
  const {api, codebase} = one
  await using stream = await openStream(api, 'w')
  const {id} = await api.create(codebase)
  await stream.pushed(id)
  await api.post('heartbeat', {worker: 'w'}, {running: [], free: 0, paused: 'the disk is full'})
  await one.decline(id, {attempt: 1, retry_ms: 600_000})
  expect(await api.task(id)).toMatchObject({status: 'pending', attempt: 2})
  await api.post('heartbeat', {worker: 'w'}, {running: [], free: 2, paused: null})
  expect(await api.task(id)).toMatchObject({status: 'assigned', attempt: 2})
})

test('a worker that polls is assigned what it has room for, with and without a stream', async () => {
  await using one = await world()
  const {api, codebase} = one
  const others = await Promise.all(['/d', '/e'].map((path) => api.codebase('w', path)))
  for (const id of [codebase, ...others]) await api.create(id)
  const polled = await one.poll()
  expect(polled.map(({status}) => status)).toEqual(['assigned', 'assigned'])
  expect((await one.poll()).map(({id}) => id)).toEqual(polled.map(({id}) => id))
  await one.confirm(polled[0]?.id ?? '', 1)
  expect(await one.poll()).toHaveLength(1)
})

test('a worker that returns is sent again what it holds and has not confirmed', async () => {
  await using one = await world()
  const {api, codebase} = one
  const first = await openStream(api, 'w')
  const {id} = await api.create(codebase)
  await first.pushed(id)
  await first[Symbol.asyncDispose]()
  await using second = await openStream(api, 'w')
  expect(await second.pushed(id)).toMatchObject({status: 'assigned', attempt: 1})
  await one.confirm(id, 1)
  await using third = await openStream(api, 'w')
  const other = await api.create(await api.codebase('w', '/d'))
  await third.pushed(other.id)
  expect(third.tasks).toEqual([other.id])
})

test('a cancelled assignment is told to its worker, and is cancelled when that confirms it or lets it lapse', async () => {
  await using one = await world({timings: {confirmMs: 300}})
  const {api, codebase} = one
  await using stream = await openStream(api, 'w')
  const {id} = await api.create(codebase)
  await stream.pushed(id)
  await api.post('taskCancel', {task: id})
  expect(await api.task(id)).toMatchObject({status: 'assigned', cancel_requested_at: expect.any(String)})
  await until(() => stream.data('task_cancelled').some((message) => message.id === id && message.attempt === 1))
  await until(async () => (await api.task(id)).status === 'cancelled')
  const next = await api.create(codebase)
  await stream.pushed(next.id)
  await api.post('taskCancel', {task: next.id})
  await api.report(next.id, 'w', 'cancelled', {attempt: 1})
  expect((await api.task(next.id)).status).toBe('cancelled')
})

test('a prompt that fits into no frame is fetched with a claim, which confirms', async () => {
  await using one = await world()
  const {api, codebase} = one
  await using stream = await openStream(api, 'w')
  const prompt = 'x'.repeat(300_000)
  const {id} = await api.create(codebase, {prompt})
  const frame = await stream.pushed(id)
  expect(frame).toMatchObject({status: 'assigned', worker_id: 'w', attempt: 1, confirm_ms: 10_000})
  expect(frame).not.toHaveProperty('prompt')
  expect((await api.claim(id, 'w')).body.task).toMatchObject({status: 'running', prompt})
})

test('the end of a task and the assignment of the next one are one change', async () => {
  await using one = await world()
  const {api, codebase} = one
  await using stream = await openStream(api, 'w')
  const [first, second] = [await api.create(codebase), await api.create(codebase)]
  await stream.pushed(first.id)
  expect((await api.task(second.id)).waiting).toContain('working tree busy')
  await api.report(first.id, 'w', 'completed', {attempt: 1})
  expect((await api.task(second.id)).status).toBe('assigned')
})

test('workers without assignments claim as ever', async () => {
  await using one = await world()
  const {api} = one
  await api.registerOwn('old')
  const codebase = await api.codebase('old', '/old')
  await using stream = await openStream(api, 'old')
  const {id} = await api.create(codebase)
  expect(await stream.pushed(id)).toMatchObject({status: 'pending', worker_id: null})
  expect((await api.claim(id, 'old')).body.task).toMatchObject({id, status: 'running', attempt: 1})
})
