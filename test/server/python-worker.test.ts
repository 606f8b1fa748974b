import {expect, test} from 'vitest'
import {startPlane, taskStreamOf} from '../support/plane.ts'
import {until} from '../support/scratch.ts'

/** How the existing Python worker behaves towards a server: anonymous, no features, empty bodies, no claims. */
const python = {capabilities: ['opencode']}

test('it may send empty bodies with a JSON type, and gets 200 with JSON everywhere', async () => {
  await using plane = await startPlane()
  await plane.codebase('py', '/home/u', python)
  for (const path of ['/v1/opencode/workers/py/heartbeat', '/v1/opencode/workers/py/unregister']) {
    const answer = await plane.call('POST', path)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toMatch(/application\/json/)
  }

  expect(await plane.call('POST', '/v1/opencode/workers/nobody/heartbeat')).toMatchObject({
    status: 404,
    body: {detail: 'Worker not found - please re-register'},
  })
  expect(await plane.call('POST', '/v1/opencode/workers/nobody/unregister')).toMatchObject({
    status: 200,
    body: {success: false},
  })
})

test('a codebase keeps its id for a worker and path, also for equal paths of two workers', async () => {
  await using plane = await startPlane()
  const first = await plane.codebase('py', '/home/u', python)
  expect(await plane.codebase('py', '/home/u/', python)).toBe(first)
  expect(await plane.codebase('other', '/home/u', python)).not.toBe(first)
})

test('it is pushed whole tasks with short lines, and takes them by reporting running, twice', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('py', '/p', python)
  using stream = await taskStreamOf(plane.url, 'py', {
    'x-codebases': codebase,
    'x-capabilities': 'opencode,build,deploy,test',
  })
  expect((await stream.next('connected'))?.json.worker_id).toBe('py')
  const {id} = await plane.task(codebase, {prompt: 'do'})
  expect((await stream.next('task_available'))?.json).toMatchObject({
    id,
    codebase_id: codebase,
    prompt: 'do',
    agent_type: 'build',
    metadata: {},
  })
  const put = (body: object) => plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {worker_id: 'py', ...body})
  expect((await put({status: 'running'})).status).toBe(200)
  expect((await put({status: 'running', session_id: 'ses_1'})).status).toBe(200)
  expect(
    (
      await plane.call('POST', `/v1/opencode/tasks/${id}/output`, {
        worker_id: 'py',
        output: 'line',
        timestamp: '2026-01-01T00:00:00',
      })
    ).status,
  ).toBe(200)
  expect((await put({status: 'completed', result: 'x'.repeat(5_000_000)})).status).toBe(200)
  expect(await plane.get(id)).toMatchObject({status: 'completed', session_id: 'ses_1'})
})

test('two workers with the same codebase id do not both get a task', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('py', '/p', python)
  await plane.codebase('py2', '/other', python)
  using one = await taskStreamOf(plane.url, 'py', {'x-codebases': codebase})
  using two = await taskStreamOf(plane.url, 'py2', {'x-codebases': codebase})
  const {id} = await plane.task(codebase)
  expect((await one.next('task_available'))?.json.id).toBe(id)
  expect((await plane.call('GET', '/v1/opencode/tasks?status=pending')).body).toEqual([])
  await plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {worker_id: 'py', status: 'running'})
  expect(
    (await plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {worker_id: 'py2', status: 'running'})).status,
  ).toBe(409)
  two[Symbol.dispose]()
})

test('what was put back is not pushed to the same process again: its stream ends, and its poll shows the task', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('py', '/p', python)
  using stream = await taskStreamOf(plane.url, 'py', {'x-codebases': codebase})
  const {id} = await plane.task(codebase)
  await stream.next('task_available')
  await plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {worker_id: 'py', status: 'running'})
  await plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {worker_id: 'py', status: 'pending'})
  expect(await stream.next('task_available')).toBeUndefined()
  const polled = (await plane.call('GET', '/v1/opencode/tasks?status=pending')).body
  expect(polled.map((task: {id: string}) => task.id)).toEqual([id])
})

test('a poll shows one task of a working tree, and none while it is busy', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('py', '/p', python)
  const tasks = [await plane.task(codebase), await plane.task(codebase)]
  const poll = async () =>
    (await plane.call('GET', '/v1/opencode/tasks?status=pending')).body.map((task: {id: string}) => task.id)
  expect(await poll()).toEqual([tasks[0]?.id])
  await plane.call('PUT', `/v1/opencode/tasks/${tasks[0]?.id}/status`, {worker_id: 'py', status: 'running'})
  expect(await poll()).toEqual([])
})

test('a long prompt is never pushed to it as a long line, but can be polled', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('py', '/p', python)
  using stream = await taskStreamOf(plane.url, 'py', {'x-codebases': codebase})
  const {id} = await plane.task(codebase, {prompt: 'x'.repeat(200_000)})
  expect(await stream.next('task_available')).toBeUndefined()
  expect((await plane.call('GET', '/v1/opencode/tasks?status=pending')).body[0].id).toBe(id)
})

test('it counts as lost only after a long silence, and its tasks are put back when it registers anew', async () => {
  await using plane = await startPlane({timings: {leaseMs: 10, silentWorkerMs: 200}})
  const codebase = await plane.codebase('py', '/p', python)
  const {id} = await plane.task(codebase)
  await plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {worker_id: 'py', status: 'running'})
  await plane.call('POST', '/v1/opencode/workers/py/heartbeat')
  await until(async () => (await plane.get(id)).lost_since, 'the silence to be noticed')
  expect((await plane.get(id)).status).toBe('running')
  await plane.codebase('py', '/p', python)
  expect(await plane.get(id)).toMatchObject({status: 'pending', attempt: 2})
})

test('a registration task without the path on one worker goes on to the next, and fails when none has it', async () => {
  await using plane = await startPlane()
  expect(await plane.call('POST', '/v1/opencode/codebases', {name: 'n', path: '/x'})).toMatchObject({
    status: 400,
    body: {detail: 'No workers available. Start a worker on the machine with access to this path.'},
  })
  await plane.codebase('a', '/a', python)
  await plane.codebase('b', '/b', python)
  using a = await taskStreamOf(plane.url, 'a')
  using b = await taskStreamOf(plane.url, 'b')
  const asked = await plane.call('POST', '/v1/opencode/codebases', {name: 'n', path: '/x'})
  expect(asked.body).toMatchObject({success: true, pending: true})
  const id = asked.body.task_id
  const streams = {a, b}
  const first = await Promise.race([
    a.next('task_available').then(() => 'a' as const),
    b.next('task_available').then(() => 'b' as const),
  ])
  const second = first === 'a' ? 'b' : 'a'
  const fail = (worker: string) =>
    plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {
      worker_id: worker,
      status: 'failed',
      error: 'Path does not exist on this worker: /x',
    })
  await plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {worker_id: first, status: 'running'})
  await fail(first)
  expect((await plane.get(id)).status).toBe('pending')
  expect(streams[second]).toBeDefined()
  await plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {worker_id: second, status: 'running'})
  await fail(second)
  expect((await plane.get(id)).status).toBe('failed')
})

test('anonymous calls to the rest work where only the stream needs a token', async () => {
  await using plane = await startPlane({auth: 'stream-only', tokens: [{name: 'n', secret: 'sssssss', scope: 'admin'}]})
  await plane.codebase('py', '/p', python)
  expect((await taskStreamOf(plane.url, 'py')).status).toBe(401)
  using stream = await taskStreamOf(plane.url, 'py', {authorization: 'Bearer sssssss'})
  expect(stream.status).toBe(200)
  expect(stream.headers.get('content-encoding')).toBeNull()
})

test('something is sent on a quiet stream within its keep-alive time', async () => {
  await using plane = await startPlane({timings: {keepAliveMs: 30}})
  using stream = await taskStreamOf(plane.url, 'py')
  expect((await stream.next('heartbeat'))?.json).toMatchObject({worker_id: 'py'})
})
