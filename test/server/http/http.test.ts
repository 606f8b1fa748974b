import {connect} from 'node:net'
import {expect, test} from 'vitest'
import {limits} from '../../../src/lib/protocol/limits.ts'
import {pathTo} from '../../../src/lib/protocol/routes.ts'
import {Api} from '../support/api.ts'
import {openStream} from '../support/events.ts'
import {startPlane, until} from '../support/plane.ts'

async function served(options: Parameters<typeof startPlane>[0] = {}) {
  const plane = await startPlane(options)
  const api = new Api(plane.url)
  await api.registerOwn('w', {version: '1.2.3', capabilities: ['build']})
  const codebase = await api.codebase('w', '/a')
  return {plane, api, codebase, [Symbol.asyncDispose]: () => plane.close()}
}

test('errors have the shapes of the existing server', async () => {
  await using one = await served()
  const {api, codebase} = one
  const tasks = pathTo('codebaseTasks', {codebase})
  expect(await api.send('POST', tasks, '{"title":')).toMatchObject({
    status: 422,
    body: {detail: [{type: 'json_invalid', loc: ['body', 0], msg: 'JSON decode error'}]},
  })
  expect((await api.send('POST', tasks, {title: 'T'})).body.detail).toEqual([
    {type: 'missing', loc: ['body', 'prompt'], msg: 'Field required', input: null},
  ])
  expect((await api.send('POST', tasks, '')).body.detail[0]).toMatchObject({type: 'missing', loc: ['body']})
  expect((await api.send('POST', tasks, {title: 1, prompt: 'p'})).body.detail[0]).toMatchObject({
    type: 'string_type',
    loc: ['body', 'title'],
    input: 1,
  })
  for (const body of [[], 'text', 7, null, {title: 'T', prompt: 'p', metadata: null}])
    expect((await api.send('POST', tasks, JSON.stringify(body))).status).toBe(422)
  expect(await api.send('GET', '/v1/nothing')).toMatchObject({status: 404, body: {detail: 'Not Found'}})
  expect(await api.send('DELETE', '/v1/opencode/tasks')).toMatchObject({
    status: 405,
    body: {detail: 'Method Not Allowed'},
  })
  expect((await api.create(codebase)).status).toBe('pending')
})

test('unknown ids are 404 with the kind of thing that was not found', async () => {
  await using one = await served()
  const {api} = one
  const id = '../%00 😀'
  const answers = {
    'Codebase not found': [await api.get('codebase', {codebase: id}), await api.get('codebaseTasks', {codebase: id})],
    'Task not found': [
      await api.get('task', {task: id}),
      await api.get('taskOutput', {task: id}),
      await api.get('taskOutputStream', {task: id}),
      await api.report(id, 'w', 'running'),
      await api.claim(id, 'w'),
      await api.post('release', {}, {task_id: id}, {query: {worker_id: 'w'}}),
      await api.post('decline', {}, {task_id: id}, {query: {worker_id: 'w'}}),
    ],
    'Worker not found': [await api.get('worker', {worker: id})],
    'Worker not found - please re-register': [await api.heartbeat(id, [])],
  }
  for (const [detail, all] of Object.entries(answers))
    for (const answer of all) expect(answer).toMatchObject({status: 404, body: {detail}})
  expect(await api.post('codebaseTasks', {codebase: id}, {title: 'T', prompt: 'p'})).toMatchObject({status: 404})
  expect((await api.post('unregister', {worker: id})).body).toEqual({success: false, message: 'Worker not found'})
  expect((await api.get('connectedWorker', {worker: 'x'})).body.detail).toBe('Worker x not found or not connected')
})

test('bodies above their limit are refused, with and without a Content-Length', async () => {
  await using one = await served()
  const {api, codebase, plane} = one
  const tasks = pathTo('codebaseTasks', {codebase})
  expect((await api.send('POST', tasks, 'x'.repeat(limits.jsonBody + 1))).status).toBe(413)
  expect((await api.send('POST', tasks, {title: 'T', prompt: 'x'.repeat(limits.prompt + 1)})).status).toBe(413)
  expect((await api.send('POST', tasks, {title: 'x'.repeat(1001), prompt: 'p'})).status).toBe(413)

  const socket = connect(plane.port, '127.0.0.1')
  let answer = ''
  socket.on('data', (chunk: Buffer) => (answer += String(chunk)))
  socket.on('error', () => {}) // the control plane does not read to the end
  socket.write(
    `POST ${tasks} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`,
  )
  const chunk = 'x'.repeat(65_536)
  for (let i = 0; i < 80; i++) socket.write(`10000\r\n${chunk}\r\n`)
  await until(() => answer.startsWith('HTTP/1.1 413'))
  socket.destroy()
})

test('hostile values neither break the control plane nor reveal its internals', async () => {
  await using one = await served()
  const {api, codebase, plane} = one
  const tasks = pathTo('codebaseTasks', {codebase})
  const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
  const bodies = [
    `{"title":"T","prompt":"p","metadata":${deep}}`,
    '{"title":"T","prompt":"p","metadata":{"__proto__":{"x":1},"constructor":1}}',
    '{"title":"T","prompt":"p","priority":1e308}',
    '{"title":"T","prompt":"p","priority":1e999}',
    '{"title":"T","prompt":"\\ud800\\u0000"}',
    '{"title":"T","prompt":"p","metadata":{"required_capabilities":[1,{}]}}',
  ]
  for (const body of bodies) {
    const answer = await api.send('POST', tasks, body)
    expect([200, 422]).toContain(answer.status)
    expect(JSON.stringify(answer.body)).not.toContain('node:')
  }
  const {id} = await api.create('global')
  await api.claim(id, 'w')
  for (const more of [
    {offset: -1},
    {offset: 1.5},
    {offset: 0, length: 1e300},
    {attempt: 'x'},
    {offset: 0, length: 2 ** 53},
  ])
    expect([400, 422]).toContain((await api.output(id, 'w', 'x', more)).status)
  expect((await api.registerOwn('w', {max_concurrent_tasks: 1e300})).status).toBe(200)
  expect((await api.registerOwn('w', {max_concurrent_tasks: 0})).status).toBe(422)
  expect((await api.report(id, 'w', 'sideways')).body.detail).toBe('Invalid status: sideways')
  expect((await api.get('tasks', {}, {query: {status: "' OR 1=1 --"}})).body).toEqual([])
  expect((await api.get('taskOutput', {task: id}, {query: {since: '-1'}})).status).toBe(400)
  expect(plane.log).toEqual([])
})

test('HEAD works on each GET route, a trailing slash is accepted, and a body may be missing if no field is required', async () => {
  await using one = await served()
  const {api} = one
  for (const path of ['/health', '/v1/opencode/tasks/', '/v1/opencode/status', '/v1/worker/tasks/stream?worker_id=w'])
    expect(await api.send('HEAD', path)).toMatchObject({status: 200, body: ''})
  expect((await api.get('connected')).body.count).toBe(0)
  expect((await api.send('GET', '/v1/opencode/workers//')).body).toHaveLength(1)
  const task = await api.create('global')
  for (const path of [
    pathTo('heartbeat', {worker: 'w'}),
    pathTo('taskCancel', {task: task.id}),
    pathTo('unregister', {worker: 'w'}),
  ])
    expect(await api.send('POST', path)).toMatchObject({status: 200, body: {success: true}})
})

test('the answer to a registration has the worker and the features of the control plane', async () => {
  await using one = await served()
  const {body} = await one.api.registerOwn('w', {version: '1.2.3', models: [{id: 'm'}]})
  expect(body).toMatchObject({
    success: true,
    worker_id: 'w',
    message: expect.any(String),
    worker: {worker_id: 'w', status: 'active', version: '1.2.3', models: [{id: 'm'}], connected: false},
    features: expect.arrayContaining(['lease', 'output-offset', 'claim-task', 'task-scope', 'decline', 'output-raw']),
  })
  await using stream = await openStream(one.api, 'w')
  expect(stream.data('connected')[0]).toMatchObject({worker_id: 'w', agent_name: 'w', event: 'connected'})
  expect((await one.api.get('workers')).body).toMatchObject([{worker_id: 'w', connected: true}])
  expect((await one.api.get('codebases')).body).toMatchObject([{id: one.codebase, served: true, hostname: 'box'}])
  expect((await one.api.get('codebaseList')).body).toHaveLength(1)
  expect((await one.api.get('status')).body).toMatchObject({available: true, registered_codebases: 1})
})

test("a stream takes its worker from the query, X-Worker-ID or worker_id, and replaces the worker's older stream", async () => {
  await using one = await served()
  const {api} = one
  expect(await api.send('GET', '/v1/worker/tasks/stream')).toMatchObject({
    status: 400,
    body: {detail: 'worker_id is required (query param or X-Worker-ID header)'},
  })
  await using first = await openStream(api, 'w', {'x-worker-id': 'other'})
  expect((await api.get('connected')).body.workers).toMatchObject([{worker_id: 'w', is_busy: false}])
  await using second = await openStream(api, '', {'x-worker-id': 'w', worker_id: 'other'})
  await until(() => first.isEnded)
  expect((await api.get('connectedWorker', {worker: 'w'})).status).toBe(200)
  await using third = await openStream(api, '', {worker_id: 'w'})
  await until(() => second.isEnded)
  const task = await api.create(one.codebase)
  await third.pushed(task.id)
  expect(third.events.every(({id}) => /^\d+$/.test(id ?? ''))).toBe(true)
})

test('a stream whose codebases are set later gets their tasks', async () => {
  await using one = await served()
  const {api, codebase} = one
  const put = (codebases: string[]) => api.send('PUT', `${pathTo('workerCodebases')}?worker_id=v`, {codebases})
  expect((await put([])).status).toBe(404)
  await using stream = await openStream(api, 'v')
  const task = await api.create(codebase)
  await put([codebase])
  await stream.pushed(task.id)
})

test("trigger answers with the task's id as the session id", async () => {
  await using one = await served()
  const {api, codebase} = one
  const prompt = 'p'.repeat(100)
  const {body} = await api.post('trigger', {codebase}, {prompt, agent: 'plan', model: 'a/b', metadata: {x: 1}})
  expect(body).toMatchObject({success: true, codebase_id: codebase, agent: 'plan'})
  expect(await api.task(body.session_id)).toMatchObject({
    title: `${'p'.repeat(80)}...`,
    agent_type: 'plan',
    metadata: {model: 'a/b', files: [], x: 1},
    priority: 0,
  })
})

test('a client that is no browser gets a line of HTML that names the command and /openapi.json, with and without tokens', async () => {
  for (const tokens of [[], [{name: 'me', scope: 'admin' as const, token: 'secret'}]]) {
    await using plane = await startPlane({tokens})
    const response = await fetch(`${plane.url}/`)
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toMatch(/^text\/html; charset=utf-8/i)
    expect(await response.text()).toMatch(/<code>a2a-worker<\/code>.*href="\/openapi\.json"/)
    expect((await fetch(`${plane.url}/`, {method: 'HEAD'})).status).toBe(200)
    expect((await fetch(`${plane.url}/`, {method: 'POST'})).status).toBe(405)
  }
})
