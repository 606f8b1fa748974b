import {expect, test} from 'vitest'
import {Api} from '../server/support/api.ts'
import {PythonWorker} from '../server/support/python-worker.ts'
import {startPlane, until} from '../server/support/plane.ts'

// one test for each requirement of the existing worker on a server

test('1: every answer is 200 and application/json, and the task list is a bare array', async () => {
  await using plane = await startPlane()
  await using worker = await PythonWorker.start(plane.url)
  expect(await worker.poll()).toEqual([])
  expect(worker.refused).toEqual([])
})

test('2: empty bodies with a JSON type are accepted, and in mode stream-only just the stream requires a token', async () => {
  const tokens = [{name: 'py', scope: 'admin' as const, token: 'secret'}]
  await using plane = await startPlane({tokens, auth: 'stream-only'})
  await using worker = await PythonWorker.start(plane.url, {token: 'secret'})
  await worker.connect()
  await worker.heartbeat()
  await worker.stop()
  expect(worker.refused).toEqual([])
  await using stranger = await PythonWorker.start(plane.url)
  await expect(stranger.connect()).rejects.toThrow('401')
})

test('2: where every request needs a token, the operator learns why a Python worker gets no tasks, once', async () => {
  const tokens = [{name: 'py', scope: 'admin' as const, token: 'secret'}]
  await using plane = await startPlane({tokens})
  await using worker = await PythonWorker.start(plane.url, {token: 'secret', id: 'w1'})
  const connections = () => worker.events.filter((name) => name === 'connected').length
  await worker.connect()
  await until(() => connections() === 1)
  worker.dropStream()
  await until(() => connections() === 2)
  expect(plane.log.filter((line) => line.startsWith('worker'))).toEqual([
    expect.stringMatching(/^worker py \(w1\) gets no tasks: .*--auth stream-only$/),
  ])
})

test('3: a codebase has one id per worker and path, also for the home directory', async () => {
  await using plane = await startPlane()
  await using worker = await PythonWorker.start(plane.url)
  const again = await worker.registerCodebase('renamed', '/srv/app/')
  expect(again).toBe(worker.codebases.get('/srv/app'))
  expect(await worker.registerCodebase('global', '/home/py')).toBe(worker.codebases.get('/home/py'))
  await using other = await PythonWorker.start(plane.url)
  expect(other.codebases.get('/home/py')).not.toBe(worker.codebases.get('/home/py'))
})

test("4: a repeated `running`, a session, and the holder's final report are accepted", async () => {
  await using plane = await startPlane()
  await using worker = await PythonWorker.start(plane.url)
  await worker.connect()
  const api = new Api(plane.url)
  const task = await api.create(worker.codebases.get('/srv/app') ?? '')
  await until(async () => (await api.task(task.id)).status === 'completed')
  expect(await api.task(task.id)).toMatchObject({session_id: 'ses_py', result: 'ran: do it', worker_id: worker.id})
  expect(worker.refused).toEqual([])
})

test('5: a push is a complete task in short lines, and the stream is never silent for longer than the keep-alive', async () => {
  await using plane = await startPlane({timings: {keepAliveMs: 50}})
  await using worker = await PythonWorker.start(plane.url)
  await worker.connect()
  const api = new Api(plane.url)
  const task = await api.create(worker.codebases.get('/srv/app') ?? '', {metadata: {model: 'a/b'}})
  const frame = await until(() => worker.frames.find(({id}) => id === task.id))
  expect(frame).toMatchObject({
    codebase_id: task.codebase_id,
    title: 'T',
    prompt: 'do it',
    agent_type: 'build',
    metadata: {model: 'a/b'},
  })
  expect(worker.longestLine).toBeLessThan(64 * 1024)
  expect(worker.encoding).toBeNull()
  await until(() => worker.events.filter((name) => name === 'heartbeat').length >= 2)
})

test('6: a task goes to one worker only', async () => {
  await using plane = await startPlane()
  await using one = await PythonWorker.start(plane.url)
  await using two = await PythonWorker.start(plane.url)
  await Promise.all([one.connect(), two.connect()])
  const api = new Api(plane.url)
  const ids: string[] = []
  for (let i = 0; i < 6; i++) ids.push((await api.create('global')).id)
  for (const id of ids) await until(async () => (await api.task(id)).status === 'completed')
  expect([...one.runs, ...two.runs].sort()).toEqual(ids.sort())
})

test('7: pending tasks are pushed on connect, and a requeued task reaches the same process because its stream is ended', async () => {
  await using plane = await startPlane({timings: {offerMs: 60}})
  await using worker = await PythonWorker.start(plane.url, {hangs: true})
  const api = new Api(plane.url)
  const task = await api.create(worker.codebases.get('/srv/app') ?? '')
  await worker.connect()
  await until(async () => (await api.task(task.id)).session_id) // the second of its two `running` reports
  await api.report(task.id, worker.id, 'pending') // as if the task were lost
  await until(() => worker.runs.length === 2) // the second push is dropped, the poll after the stream's end is not
  await until(async () => (await api.task(task.id)).status === 'running')
  expect((await api.task(task.id)).attempt).toBe(2)
})

test('8: a codebase registered while the stream is open gets its tasks', async () => {
  await using plane = await startPlane()
  await using worker = await PythonWorker.start(plane.url)
  await worker.connect()
  const codebase = await worker.registerCodebase('late', '/srv/late')
  const task = await new Api(plane.url).create(codebase)
  await until(() => worker.runs.includes(task.id))
})

test('9: each line of output may be a request of its own, and a result may have many megabytes', async () => {
  await using plane = await startPlane()
  await using worker = await PythonWorker.start(plane.url, {hangs: true})
  await worker.connect()
  const api = new Api(plane.url)
  const task = await api.create('global')
  await until(() => worker.runs.includes(task.id))
  for (let i = 0; i < 20; i++) await worker.output(task.id, `line ${i}\n`)
  const result = 'x'.repeat(6_000_000)
  await worker.report(task.id, 'completed', {result})
  expect((await api.get('taskOutput', {task: task.id})).body.total).toBe(20)
  expect((await api.task(task.id)).result).toHaveLength(result.length)
  expect((await api.get('tasks', {}, {query: {status: 'completed'}})).body[0].result).toHaveLength(64 * 1024)
  expect(worker.refused).toEqual([])
})

test('9: all sessions of each codebase are synced every minute, those of global tasks under `global`', async () => {
  await using plane = await startPlane()
  await using worker = await PythonWorker.start(plane.url)
  const app = worker.codebases.get('/srv/app') ?? ''
  const home = worker.codebases.get('/home/py') ?? ''
  const session = (id: string) => ({
    id,
    title: 'Untitled',
    created: '2024-12-10T19:40:00',
    updated: null,
    messageCount: 3,
    directory: '/srv/app',
    project_id: 'p',
    summary: {},
    version: '1.0.0',
  })
  const message = {
    id: 'msg_001',
    sessionID: 'ses_g',
    role: 'user',
    time: {created: '2024-12-10T19:40:00'},
    agent: 'build',
    model: null,
    cost: null,
    tokens: null,
    tool_calls: [],
    parts: [{id: 'prt_001', type: 'text', text: 'hello'}],
  }
  for (let minute = 0; minute < 2; minute++) {
    await worker.syncSessions(app, [session('ses_a'), session('ses_b')])
    await worker.syncSessions(home, [session('ses_g')])
    await worker.syncMessages('global', 'ses_g', [message])
  }

  expect(worker.refused).toEqual([])
  const api = new Api(plane.url)
  expect((await api.get('sessions', {codebase: app})).body.sessions).toHaveLength(2)
  expect((await api.get('sessions', {codebase: 'global'})).body.sessions).toMatchObject([{id: 'ses_g'}])
  const messages = await api.get('messages', {codebase: home, session: 'ses_g'})
  expect(messages.body.messages).toMatchObject([{id: 'msg_001', time: {created: '2024-12-10T19:40:00.000Z'}}])
})

test('9: a sync of a removed codebase is a 404, so that the worker registers the codebase again', async () => {
  await using plane = await startPlane()
  await using worker = await PythonWorker.start(plane.url)
  const app = worker.codebases.get('/srv/app') ?? ''
  await new Api(plane.url).send('DELETE', `/v1/opencode/codebases/${app}`)
  await worker.syncSessions(app, [{id: 'ses_a'}])
  expect(worker.refused).toHaveLength(1)
  expect(worker.refused[0]).toContain('404')
  await worker.syncSessions(await worker.registerCodebase('app', '/srv/app'), [{id: 'ses_a'}])
  expect(worker.refused).toHaveLength(1)
})

test('10: a silent worker keeps its tasks for long; then they are lost, and start again once it has registered again', async () => {
  await using plane = await startPlane({timings: {leaseMs: 20, silentWorkerMs: 250}})
  await using worker = await PythonWorker.start(plane.url, {hangs: true})
  const api = new Api(plane.url)
  const task = await api.create(worker.codebases.get('/srv/app') ?? '')
  await worker.poll()
  await until(() => worker.runs.length === 1)
  const since = await until(async () => (await api.task(task.id)).lost_since)
  expect(Date.parse(since) - Date.parse((await api.task(task.id)).started_at ?? '')).toBeGreaterThanOrEqual(200)
  expect((await api.task(task.id)).status).toBe('running')
  await worker.register()
  expect(await api.task(task.id)).toMatchObject({status: 'pending', attempt: 2, lost_since: null})
})

test('10: a restarted worker has another id, and still gets its codebase and its unfinished tasks', async () => {
  await using plane = await startPlane()
  const worker = await PythonWorker.start(plane.url, {hangs: true})
  await worker.connect()
  const api = new Api(plane.url)
  const codebase = worker.codebases.get('/srv/app') ?? ''
  const task = await api.create(codebase)
  await until(() => worker.runs.length === 1)
  await worker.stop()
  expect((await api.task(task.id)).lost_since).not.toBeNull()
  await using reborn = await PythonWorker.start(plane.url)
  expect(reborn.codebases.get('/srv/app')).toBe(codebase)
  await reborn.connect()
  await until(async () => (await api.task(task.id)).status === 'completed')
  expect(await api.task(task.id)).toMatchObject({attempt: 2, worker_id: reborn.id})
})

test('11: api-keys/sync gives no keys', async () => {
  await using plane = await startPlane()
  const answer = await new Api(plane.url).send('GET', '/v1/opencode/api-keys/sync?worker_id=x')
  expect(answer).toMatchObject({status: 200, body: {auth: {}, providers: {}}})
})

test('12: a missing path counts as a decline, and the next worker registers it', async () => {
  await using plane = await startPlane()
  await using one = await PythonWorker.start(plane.url)
  await using two = await PythonWorker.start(plane.url, {paths: ['/data/app']})
  await Promise.all([one.connect(), two.connect()])
  const api = new Api(plane.url)
  const {body} = await api.post('codebases', {}, {name: 'app', path: '/data/app'})
  await until(async () => (await api.task(body.task_id)).status === 'completed')
  expect(two.codebases.get('/data/app')).toBeDefined()
})
