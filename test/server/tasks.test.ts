import {expect, test} from 'vitest'
import {openStream, startPlane, taskStreamOf} from '../support/plane.ts'
import {until} from '../support/scratch.ts'

test('a task goes to the stream of its owner, is claimed once, and ends with its result', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('w', '/p')
  using stream = await taskStreamOf(plane.url, 'w')
  const task = await plane.task(codebase, {prompt: 'do it', metadata: {model: 'a/b'}})
  const pushed = await stream.next('task_available')
  expect(pushed?.json).toMatchObject({
    id: task.id,
    task_id: task.id,
    prompt: 'do it',
    description: 'do it',
    metadata: {model: 'a/b'},
    status: 'pending',
  })
  const claimed = await plane.claim('w', task.id)
  expect(claimed.body).toMatchObject({success: true, attempt: 1, task: {status: 'running', worker_id: 'w'}})
  const done = {status: 'completed', worker_id: 'w', attempt: 1, result: 'fine', usage: {cost: 0.5, input: 3}}
  expect((await plane.call('PUT', `/v1/opencode/tasks/${task.id}/status`, done)).status).toBe(200)
  expect(await plane.get(task.id)).toMatchObject({status: 'completed', result: 'fine', usage: {cost: 0.5, input: 3}})
})

test('of many workers that claim at once exactly one gets the task', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('w', '/p')
  const task = await plane.task(codebase)
  const answers = await Promise.all(Array.from({length: 30}, (_, i) => plane.claim(`w${i}`, task.id)))
  expect(answers.filter(({status}) => status === 200)).toHaveLength(1)
  expect(answers.filter(({status}) => status === 409)).toHaveLength(29)
})

test('a late report of a former holder, or of a former attempt, is refused', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('w', '/p')
  const {id} = await plane.task(codebase)
  await plane.claim('w', id)
  const put = (body: object) => plane.call('PUT', `/v1/opencode/tasks/${id}/status`, body)
  expect((await put({status: 'completed', worker_id: 'other'})).status).toBe(409)
  expect(
    (await plane.call('POST', '/v1/worker/tasks/release?worker_id=w', {task_id: id, status: 'pending'})).status,
  ).toBe(200)
  expect(await plane.get(id)).toMatchObject({status: 'pending', attempt: 2, worker_id: null})
  expect((await plane.claim('w', id)).body.attempt).toBe(2)
  expect((await put({status: 'completed', worker_id: 'w', attempt: 1})).status).toBe(409)
  expect((await put({status: 'completed', worker_id: 'w', attempt: 2, result: 'x'})).status).toBe(200)
  expect((await put({status: 'completed', worker_id: 'w', attempt: 2, result: 'x'})).status).toBe(200)
  expect((await put({status: 'failed', worker_id: 'w', attempt: 2})).status).toBe(409)
  expect((await put({status: 'nonsense', worker_id: 'w'})).body).toEqual({detail: 'Invalid status: nonsense'})
})

test('output is stored once and in order; a gap or an overlap is a conflict that says where to go on', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('w', '/p')
  const {id} = await plane.task(codebase)
  await plane.claim('w', id)
  const path = (offset: number, length: number) =>
    `/v1/opencode/tasks/${id}/output?worker_id=w&attempt=1&offset=${offset}&length=${length}`
  const send = (offset: number, text: string) =>
    plane.call('POST', path(offset, text.length), text, {'content-type': 'application/x-ndjson'})
  expect((await send(0, 'one\n')).body).toEqual({success: true, next: 4})
  expect((await send(0, 'one\n')).body).toEqual({success: true, next: 4})
  expect(await send(8, 'far\n')).toMatchObject({status: 409, body: {next: 4}})
  expect(await send(2, 'e\ntwo\n')).toMatchObject({status: 409, body: {next: 4}})
  expect((await send(4, 'two\n')).status).toBe(200)
  expect((await plane.call('POST', `/v1/opencode/tasks/${id}/output`, {worker_id: 'w', output: 'json\n'})).status).toBe(
    200,
  )
  const page = await plane.call('GET', `/v1/opencode/tasks/${id}/output?since=0`)
  expect(page.body.outputs.map(({output}: {output: string}) => output).join('')).toBe('one\ntwo\njson\n')
  expect(page.body).toMatchObject({total: 3, next: 3})
  expect((await plane.call('GET', `/v1/opencode/tasks/${id}/output?since=3`)).body.outputs).toEqual([])
})

test('followers of output get what was, what comes, and then done; Last-Event-ID goes on where it was', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('w', '/p')
  const {id} = await plane.task(codebase)
  await plane.claim('w', id)
  const say = (output: string) => plane.call('POST', `/v1/opencode/tasks/${id}/output`, {worker_id: 'w', output})
  await say('a')
  using stream = await openStream(plane.url, `/v1/opencode/tasks/${id}/output/stream`)
  expect((await stream.next('output'))?.json.output).toBe('a')
  await say('b')
  const second = await stream.next('output')
  expect(second).toMatchObject({id: '2', json: {output: 'b'}})
  using late = await openStream(plane.url, `/v1/opencode/tasks/${id}/output/stream`, {'last-event-id': '1'})
  expect((await late.next('output'))?.json.output).toBe('b')
  await plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {status: 'completed', worker_id: 'w'})
  expect((await stream.next('done'))?.json).toEqual({status: 'completed'})
})

test('at most one task of a working tree is offered, and never more than the free slots', async () => {
  await using plane = await startPlane()
  const first = await plane.codebase('w', '/a', {features: ['lease'], max_concurrent_tasks: 2})
  const others = await Promise.all(
    ['/b', '/c'].map(
      async (path) =>
        (await plane.call('POST', '/v1/opencode/codebases', {name: path, path, worker_id: 'w'})).body.codebase.id,
    ),
  )
  using stream = await taskStreamOf(plane.url, 'w')
  const tasks = [
    await plane.task(first),
    await plane.task(first),
    await plane.task(others[0]),
    await plane.task(others[1]),
  ]
  expect((await stream.next('task_available'))?.json.id).toBe(tasks[0]?.id)
  expect((await stream.next('task_available'))?.json.id).toBe(tasks[2]?.id)
  expect((await plane.get(tasks[1]?.id ?? '')).waiting).toMatch(/working tree is busy/)
  expect((await plane.get(tasks[3]?.id ?? '')).waiting).toMatch(/no free slot/)
  await plane.claim('w', tasks[0]?.id ?? '')
  await plane.call('PUT', `/v1/opencode/tasks/${tasks[0]?.id}/status`, {status: 'completed', worker_id: 'w'})
  expect((await stream.next('task_available'))?.json.id).toBe(tasks[3]?.id)
})

test('an offer that is declined or not taken in time goes on to another worker', async () => {
  await using plane = await startPlane({timings: {offerMs: 100}})
  await plane.codebase('a', '/p', {global_codebase_id: 'g', features: ['lease', 'decline'], max_concurrent_tasks: 3})
  await plane.codebase('b', '/p', {global_codebase_id: 'g', features: ['lease', 'decline'], max_concurrent_tasks: 2})
  using a = await taskStreamOf(plane.url, 'a')
  using b = await taskStreamOf(plane.url, 'b')
  const {id} = await plane.task('global')
  expect((await a.next('task_available'))?.json.id).toBe(id)
  await plane.call('POST', '/v1/worker/tasks/decline?worker_id=a', {task_id: id, reason: 'draining'})
  expect((await b.next('task_available'))?.json.id).toBe(id)
  const ignored = await plane.task('global')
  expect((await a.next('task_available'))?.json.id).toBe(ignored.id)
  expect((await b.next('task_available'))?.json.id).toBe(ignored.id)
})

test('what is pending is pushed when a worker connects, and given back when its stream ends', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('w', '/p')
  const {id} = await plane.task(codebase)
  {
    using stream = await taskStreamOf(plane.url, 'w')
    expect((await stream.next('task_available'))?.json.id).toBe(id)
  }

  await until(
    async () => /not connected/.test((await plane.get(id)).waiting ?? ''),
    'the stream to be noticed as closed',
  )
  using again = await taskStreamOf(plane.url, 'w')
  expect((await again.next('task_available'))?.json.id).toBe(id)
})

test('a newer stream of a worker replaces the older one', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('w', '/p')
  using old = await taskStreamOf(plane.url, 'w')
  using fresh = await taskStreamOf(plane.url, 'w')
  expect(await old.next('never')).toBeUndefined()
  const {id} = await plane.task(codebase)
  expect((await fresh.next('task_available'))?.json.id).toBe(id)
  expect((await plane.call('GET', '/v1/worker/connected/w')).status).toBe(200)
  expect((await plane.call('GET', '/v1/worker/connected/nobody')).body).toEqual({
    detail: 'Worker nobody not found or not connected',
  })
})

test('cancel ends a waiting task at once, and a running one when its holder confirms', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('w', '/p')
  const waiting = await plane.task(codebase)
  expect((await plane.call('POST', `/v1/opencode/tasks/${waiting.id}/cancel`)).body.task.status).toBe('cancelled')
  expect((await plane.call('POST', `/v1/opencode/tasks/${waiting.id}/cancel`)).status).toBe(409)
  expect((await plane.call('POST', '/v1/opencode/tasks/nobody/cancel')).status).toBe(404)
  using stream = await taskStreamOf(plane.url, 'w')
  const {id} = await plane.task(codebase)
  await stream.next('task_available')
  await plane.claim('w', id)
  await plane.call('POST', `/v1/opencode/tasks/${id}/cancel`)
  expect((await stream.next('task_cancelled'))?.json).toMatchObject({id, attempt: 1})
  expect(await plane.get(id)).toMatchObject({status: 'running', cancel_requested_at: expect.any(String)})
  expect(
    (await plane.call('POST', `/v1/opencode/tasks/${id}/output`, {worker_id: 'w', output: 'last words'})).status,
  ).toBe(200)
  await plane.call('PUT', `/v1/opencode/tasks/${id}/status`, {status: 'cancelled', worker_id: 'w', attempt: 1})
  expect((await plane.get(id)).status).toBe('cancelled')
  expect(
    (await plane.call('POST', `/v1/opencode/tasks/${id}/output`, {worker_id: 'w', output: 'too late'})).status,
  ).toBe(409)
})

test('a lease that lapses marks a codebase task lost; listed again it goes on, not listed it is put back', async () => {
  await using plane = await startPlane({timings: {leaseMs: 100}})
  const codebase = await plane.codebase('w', '/p')
  const {id} = await plane.task(codebase)
  await plane.claim('w', id)
  await until(async () => (await plane.get(id)).lost_since, 'the task to be lost')
  expect((await plane.get(id)).status).toBe('running')
  const beat = (running: object[]) => plane.call('POST', '/v1/opencode/workers/w/heartbeat', {running, free: 1})
  await beat([{id, attempt: 1}])
  expect(await plane.get(id)).toMatchObject({status: 'running', lost_since: null})
  await beat([])
  expect(await plane.get(id)).toMatchObject({status: 'pending', attempt: 2})
})

test('a heartbeat that was on its way while a task was claimed does not take it back', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('w', '/p')
  const {id} = await plane.task(codebase)
  await plane.claim('w', id)
  await plane.call('POST', '/v1/opencode/workers/w/heartbeat', {running: [], free: 1})
  expect((await plane.get(id)).status).toBe('running')
})

test('a global task whose holder is silent goes to another worker', async () => {
  await using plane = await startPlane({timings: {leaseMs: 100}})
  await plane.codebase('w', '/p', {global_codebase_id: 'g', features: ['lease']})
  const {id} = await plane.task('global')
  await plane.claim('w', id)
  await until(async () => (await plane.get(id)).attempt === 2, 'the task to be put back')
})

test('the same idempotency key gives the same task', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('w', '/p')
  const create = () =>
    plane.call('POST', `/v1/opencode/codebases/${codebase}/tasks`, {title: 't', prompt: 'p'}, {'idempotency-key': 'k'})
  expect((await create()).body.task.id).toBe((await create()).body.task.id)
})

test('bad requests get the shapes of the existing server, and nothing is done', async () => {
  await using plane = await startPlane()
  const codebase = await plane.codebase('w', '/p')
  const tasks = `/v1/opencode/codebases/${codebase}/tasks`
  expect((await plane.call('POST', tasks, '{not json')).body.detail[0].type).toBe('json_invalid')
  expect(await plane.call('POST', tasks, {prompt: 'p'})).toMatchObject({
    status: 422,
    body: {detail: [{type: 'missing', loc: ['body', 'title']}]},
  })
  expect((await plane.call('POST', tasks, {title: 't', prompt: 'p', metadata: null})).status).toBe(422)
  expect((await plane.call('POST', tasks, {title: 't', prompt: ' '})).status).toBe(422)
  expect((await plane.call('POST', tasks, {title: 't', prompt: 'x'.repeat(1024 * 1024 + 1)})).status).toBe(413)
  expect((await plane.call('POST', tasks, 'x'.repeat(5 * 1024 * 1024))).status).toBe(413)
  expect(await plane.call('POST', '/v1/opencode/codebases/nope/tasks', {title: 't', prompt: 'p'})).toMatchObject({
    status: 404,
    body: {detail: 'Codebase not found'},
  })
  expect(await plane.call('GET', '/nope')).toMatchObject({status: 404, body: {detail: 'Not Found'}})
  expect(await plane.call('DELETE', '/v1/opencode/tasks')).toMatchObject({status: 405})
  expect((await plane.call('GET', '/v1/opencode/tasks')).body).toEqual([])
})

test('a token is asked for everywhere but for health, and its scope bounds what it may do', async () => {
  const secrets = {admin: 'a'.repeat(8), client: 'c'.repeat(8), worker: 'w'.repeat(8)}
  await using plane = await startPlane({
    tokens: [
      {name: 'root', secret: secrets.admin, scope: 'admin'},
      {name: 'ci', secret: secrets.client, scope: 'client'},
      {name: 'box', secret: secrets.worker, scope: 'worker'},
    ],
  })
  const as = (secret: string) => ({authorization: `Bearer ${secret}`})
  const register = (id: string, secret: string) =>
    plane.call('POST', '/v1/opencode/workers/register', {worker_id: id, name: id}, as(secret))
  expect((await plane.call('GET', '/health')).status).toBe(200)
  expect(await plane.call('GET', '/v1/opencode/tasks')).toMatchObject({
    status: 401,
    body: {detail: 'Missing Bearer token'},
  })
  expect(await plane.call('GET', '/v1/opencode/tasks', undefined, as('wrong'))).toMatchObject({
    status: 403,
    body: {detail: 'Invalid token'},
  })
  expect((await register('w', secrets.client)).status).toBe(403)
  expect((await register('w', secrets.worker)).status).toBe(200)
  expect((await register('other', secrets.worker)).status).toBe(403)
  expect(
    (await plane.call('POST', '/v1/worker/tasks/claim?worker_id=other', {task_id: 'x'}, as(secrets.worker))).status,
  ).toBe(403)
  const body = {name: 'p', path: '/p', worker_id: 'w'}
  const {id} = (await plane.call('POST', '/v1/opencode/codebases', body, as(secrets.worker))).body.codebase
  const task = {title: 't', prompt: 'p'}
  expect((await plane.call('POST', `/v1/opencode/codebases/${id}/tasks`, task, as(secrets.worker))).status).toBe(403)
  expect((await plane.call('POST', `/v1/opencode/codebases/${id}/tasks`, task, as(secrets.client))).status).toBe(200)
})
