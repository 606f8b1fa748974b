import {expect, test} from 'vitest'
import {Api} from '../support/api.ts'
import {openStream} from '../support/events.ts'
import {startPlane, until} from '../support/plane.ts'

async function oneTask(options: Parameters<typeof startPlane>[0] = {}) {
  const plane = await startPlane(options)
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const codebase = await api.codebase('w', '/a')
  const task = await api.create(codebase)
  return {plane, api, codebase, task, [Symbol.asyncDispose]: () => plane.close()}
}

test('of many concurrent claims exactly one succeeds', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  const workers = Array.from({length: 30}, (_, i) => `w${i}`)
  await Promise.all(workers.map((worker) => api.registerOwn(worker)))
  const task = await api.create('global')
  const answers = await Promise.all(
    workers.map((worker, i) => (i % 2 ? api.claim(task.id, worker) : api.report(task.id, worker, 'running'))),
  )
  expect(answers.map(({status}) => status).sort()).toEqual([200, ...Array.from({length: 29}, () => 409)])
  const winner = workers[answers.findIndex(({status}) => status === 200)]
  expect(await api.task(task.id)).toMatchObject({status: 'running', worker_id: winner, attempt: 1})
})

test('the holder may repeat its claim and its last report, and nobody else may report', async () => {
  await using one = await oneTask()
  const {api, task} = one
  await api.registerOwn('other')
  expect((await api.claim(task.id, 'w')).status).toBe(200)
  expect((await api.claim(task.id, 'w')).body).toMatchObject({attempt: 1, task: {status: 'running'}})
  expect((await api.claim(task.id, 'other')).body.detail).toContain('already claimed by another worker')
  for (const status of ['running', 'completed', 'failed', 'pending'])
    expect((await api.report(task.id, 'other', status)).status).toBe(409)
  expect((await api.report(task.id, 'w', 'running', {session_id: 'ses_1'})).body.task.session_id).toBe('ses_1')
  expect((await api.report(task.id, 'w', 'completed', {result: 'r', attempt: 1})).status).toBe(200)
  expect((await api.report(task.id, 'w', 'completed', {result: 'r', attempt: 1})).status).toBe(200)
  expect((await api.report(task.id, 'w', 'failed')).body.detail).toBe(`Task ${task.id} is already completed`)
  expect((await api.report(task.id, 'w', 'running')).status).toBe(409)
  expect((await api.get('monitorWorkers')).body.workers[0]).toMatchObject({
    id: 'w',
    tasks_completed: 1,
    status: 'active',
  })
})

test('a release requeues the task as the next attempt, and reports of the earlier attempt are refused', async () => {
  await using one = await oneTask()
  const {api, task} = one
  await api.claim(task.id, 'w')
  await api.output(task.id, 'w', 'x', {attempt: 1, offset: 0, length: 1})
  const release = (status: string, worker_id = 'w') =>
    api.post('release', {}, {task_id: task.id, status}, {query: {worker_id}})
  expect(await release('pending', 'other')).toMatchObject({
    status: 404,
    body: {detail: expect.stringContaining('not claimed')},
  })
  expect((await release('pending')).body).toMatchObject({success: true, status: 'pending'})
  expect(await api.task(task.id)).toMatchObject({status: 'pending', attempt: 2, worker_id: null})
  expect((await api.report(task.id, 'w', 'completed', {attempt: 1})).status).toBe(409)
  expect((await api.report(task.id, 'w', 'failed')).status).toBe(409)
  expect((await api.output(task.id, 'w', 'x', {attempt: 1, offset: 1, length: 1})).status).toBe(409)

  expect((await api.claim(task.id, 'w')).body.attempt).toBe(2)
  expect((await api.output(task.id, 'w', 'x', {attempt: 1, offset: 1, length: 1})).status).toBe(409)
  expect((await api.output(task.id, 'w', 'y', {attempt: 2, offset: 0, length: 1})).status).toBe(200)
  expect((await release('completed')).body.status).toBe('completed')
  expect((await release('completed')).status).toBe(200)
})

test('a cancellation ends a waiting task at once, and asks the holder of a running one', async () => {
  await using one = await oneTask()
  const {api, task, codebase} = one
  const cancel = (id: string) => api.post('taskCancel', {task: id}, undefined)
  expect((await cancel('nothing')).status).toBe(404)
  const waiting = await api.create(codebase)
  expect((await cancel(waiting.id)).body.task.status).toBe('cancelled')
  expect((await cancel(waiting.id)).body.detail).toContain('already cancelled')

  await using stream = await openStream(api, 'w')
  await api.claim(task.id, 'w')
  expect((await cancel(task.id)).body.task).toMatchObject({status: 'running', cancel_requested_at: expect.any(String)})
  expect(await until(() => stream.data('task_cancelled')[0])).toMatchObject({
    id: task.id,
    task_id: task.id,
    codebase_id: codebase,
    attempt: 1,
    reason: 'cancelled by a client',
  })
  await using later = await openStream(api, 'w')
  await until(() => later.data('task_cancelled').length === 1)
  expect((await api.output(task.id, 'w', 'bye', {attempt: 1, offset: 0, length: 3})).status).toBe(200)
  expect((await api.report(task.id, 'w', 'cancelled', {attempt: 1})).body.task.status).toBe('cancelled')
  expect((await api.output(task.id, 'w', '!', {attempt: 1, offset: 3, length: 1})).status).toBe(409)
})

test('a run that ends before the cancellation reaches it has its own outcome', async () => {
  await using one = await oneTask()
  await one.api.claim(one.task.id, 'w')
  await one.api.post('taskCancel', {task: one.task.id})
  expect((await one.api.report(one.task.id, 'w', 'completed')).body.task.status).toBe('completed')
})

test('after its lease has expired, a codebase task waits for its worker until that returns or times out', async () => {
  await using one = await oneTask({timings: {leaseMs: 80, lostTimeoutMs: 600}})
  const {api, task} = one
  await api.claim(task.id, 'w')
  await until(async () => (await api.task(task.id)).lost_since)
  expect(await api.task(task.id)).toMatchObject({status: 'running', worker_id: 'w'})
  await api.heartbeat('w', [{id: task.id, attempt: 1}])
  expect(await api.task(task.id)).toMatchObject({status: 'running', lost_since: null})
  await until(async () => (await api.task(task.id)).status === 'failed')
  expect((await api.task(task.id)).error).toMatch(/^worker lost since/)
})

test('heartbeats, output and reports renew the lease', async () => {
  await using one = await oneTask({timings: {leaseMs: 400}})
  const {api, task} = one
  await api.claim(task.id, 'w')
  const end = Date.now() + 900
  for (let i = 0; Date.now() < end; i++) {
    if (i % 3 === 0) await api.heartbeat('w', [{id: task.id, attempt: 1}])
    else if (i % 3 === 1) await api.output(task.id, 'w', 'x')
    else await api.report(task.id, 'w', 'running', {attempt: 1})
    expect((await api.task(task.id)).lost_since).toBeNull()
    await new Promise((resolve) => setTimeout(resolve, 40))
  }
})

test('a portable task goes to another worker when its lease expires', async () => {
  await using plane = await startPlane({timings: {leaseMs: 80}})
  const api = new Api(plane.url)
  await api.registerOwn('w1')
  const codebase = await api.codebase('w1', '/a')
  await api.registerOwn('w2')
  const tasks = [await api.create('global'), await api.create(codebase, {agent_type: 'echo'})]
  for (const {id} of tasks) await api.claim(id, 'w1')
  for (const {id} of tasks) await until(async () => (await api.task(id)).status === 'pending')
  await using stream = await openStream(api, 'w2', {'x-codebases': codebase})
  for (const {id} of tasks) expect(await stream.pushed(id)).toMatchObject({attempt: 2})
  expect((await api.report(tasks[0]?.id ?? '', 'w1', 'completed', {attempt: 1})).status).toBe(409)
})

test('a lost task with a requested cancellation is cancelled', async () => {
  await using one = await oneTask({timings: {leaseMs: 80}})
  const {api, task} = one
  await api.claim(task.id, 'w')
  await api.post('taskCancel', {task: task.id})
  await until(async () => (await api.task(task.id)).status === 'cancelled')
})

test('a task missing in a heartbeat is requeued at once, unless it may have been claimed meanwhile', async () => {
  await using one = await oneTask()
  const {api, task} = one
  await api.heartbeat('w', [])
  await api.claim(task.id, 'w')
  await api.heartbeat('w', []) // its list may have been written before the claim
  expect((await api.task(task.id)).status).toBe('running')
  await api.heartbeat('w', [{id: task.id, attempt: 1}])
  await api.heartbeat('w', [])
  expect(await api.task(task.id)).toMatchObject({status: 'pending', attempt: 2})
})

test('the first heartbeat of a restarted worker requeues the tasks that it does not list', async () => {
  await using one = await oneTask()
  const {api, task} = one
  await api.claim(task.id, 'w')
  await api.registerOwn('w')
  expect((await api.task(task.id)).status).toBe('running')
  await api.heartbeat('w', [])
  expect(await api.task(task.id)).toMatchObject({status: 'pending', attempt: 2})
})

test('a worker that lists an earlier attempt is asked to stop it', async () => {
  await using one = await oneTask()
  const {api, task} = one
  await using stream = await openStream(api, 'w')
  await api.claim(task.id, 'w')
  await api.post('release', {}, {task_id: task.id, status: 'pending'}, {query: {worker_id: 'w'}})
  await api.heartbeat('w', [{id: task.id, attempt: 1}])
  expect(await until(() => stream.data('task_cancelled')[0])).toMatchObject({id: task.id, attempt: 1})
})

test('an ended task can be retried as the next attempt, a running task only if its worker is lost', async () => {
  await using one = await oneTask({timings: {leaseMs: 60}})
  const {api, task} = one
  const retry = (force: boolean) => api.post('taskRetry', {task: task.id}, {force})
  expect((await retry(false)).body.detail).toContain('pending already')
  await api.claim(task.id, 'w')
  await until(async () => (await api.task(task.id)).lost_since)
  expect((await retry(false)).status).toBe(409)
  expect((await retry(true)).body.task).toMatchObject({status: 'pending', attempt: 2, lost_since: null})
  await api.claim(task.id, 'w')
  await api.report(task.id, 'w', 'failed', {error: 'e', attempt: 2})
  expect((await retry(false)).body.task).toMatchObject({status: 'pending', attempt: 3, error: null, completed_at: null})
})

test('the same Idempotency-Key creates one task', async () => {
  await using one = await oneTask()
  const {api, codebase} = one
  const headers = {'idempotency-key': 'k1'}
  const create = (prompt: string) => api.post('codebaseTasks', {codebase}, {title: 'T', prompt}, {headers})
  const answers = await Promise.all([create('p'), create('p'), create('p')])
  expect(new Set(answers.map(({body}) => body.task.id)).size).toBe(1)
  expect((await create('another')).status).toBe(409)
})
