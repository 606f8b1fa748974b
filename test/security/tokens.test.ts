import {expect, test} from 'vitest'
import {ControlPlaneClient} from '../../src/lib/client/control-plane.ts'
import {pathTo} from '../../src/lib/protocol/routes.ts'
import {parseTokens} from '../../src/lib/server/http/auth.ts'
import type {ControlPlaneOptions} from '../../src/lib/server/control-plane.ts'
import {Api} from '../server/support/api.ts'
import {Listener, openStream} from '../server/support/events.ts'
import {scratch, startPlane} from '../server/support/plane.ts'

const tokens = parseTokens(
  'me:token-of-the-admin, a/worker=A:token-of-worker-a, b/worker=B:token-of-worker-b, spare/worker:token-of-worker-s, other/worker:token-of-worker-o',
)
const machine = {name: 'same', hostname: 'box'}

/** Workers A and B, each with a token, a codebase and a waiting task. A second task of B runs and has output. */
async function twoWorkers(options: Partial<ControlPlaneOptions> = {}) {
  const plane = await startPlane({tokens, ...options})
  const of = (token: string) => new Api(plane.url, token)
  const [admin, a, b] = [of('token-of-the-admin'), of('token-of-worker-a'), of('token-of-worker-b')]
  await a.registerOwn('A', {machine_id: 'ma'})
  await b.registerOwn('B', {machine_id: 'mb'})
  const own = await a.codebase('A', '/a')
  const foreign = await b.codebase('B', '/b')
  const mine = await admin.create(own)
  const running = await admin.create(foreign, {prompt: 'secret prompt'})
  await b.claim(running.id, 'B')
  await b.output(running.id, 'B', 'secret output')
  const waiting = await admin.create(foreign, {prompt: 'secret prompt'})
  return {
    ...{plane, of, admin, a, b, own, foreign, mine, running, waiting},
    [Symbol.asyncDispose]: () => plane.close(),
  }
}

test("a worker's token reads no task, prompt or output of another worker, in no list and by no id", async () => {
  await using at = await twoWorkers()
  const {a, own, foreign, mine, running, waiting, plane} = at
  const ids = async (query: Record<string, string>) =>
    (await a.get('tasks', {}, {query})).body.map(({id}: {id: string}) => id)
  expect(await ids({})).toEqual([mine.id])
  expect(await ids({status: 'pending', limit: '10'})).toEqual([mine.id])
  expect(await ids({codebase_id: foreign})).toEqual([])
  expect(await ids({id_prefix: running.id.slice(0, 8)})).toEqual([])
  expect((await a.get('tasks', {}, {query: {worker_id: 'B', status: 'pending'}})).status).toBe(403)
  expect((await a.get('tasks', {}, {query: {worker_id: 'B'}})).status).toBe(403)
  for (const {id} of [running, waiting])
    for (const route of ['task', 'taskOutput', 'taskOutputStream'] as const)
      expect(await a.get(route, {task: id}), route).toMatchObject({status: 404})
  for (const route of ['codebase', 'codebaseStatus', 'codebaseTasks', 'codebaseEvents', 'sessions'] as const)
    expect(await a.get(route, {codebase: foreign}), route).toMatchObject({status: 403})
  expect((await a.get('codebaseEvents', {codebase: 'global'})).status).toBe(403)
  expect((await a.task(mine.id)).prompt).toBe('do it')
  expect((await a.get('codebaseTasks', {codebase: own})).body).toHaveLength(1)
  await using events = await Listener.open(a, pathTo('codebaseEvents', {codebase: own}))
  expect(events.response.status).toBe(200)

  const everything = await Promise.all(
    (['workers', 'codebases', 'models', 'connected', 'monitorWorkers', 'monitorAgents'] as const).map((route) =>
      a.get(route),
    ),
  )
  expect(everything.map(({status}) => status)).toEqual(Array(everything.length).fill(200))
  expect(JSON.stringify(everything.map(({body}) => body))).not.toMatch(new RegExp(`"B"|${foreign}|/b"`))
  expect(plane.log).toEqual([])
})

test('tasks without a codebase are read by the workers that may take them, and then by their holder only', async () => {
  await using at = await twoWorkers()
  const {admin, a, b} = at
  const task = await admin.create('global', {prompt: 'for anybody'})
  expect((await a.task(task.id)).prompt).toBe('for anybody')
  await b.claim(task.id, 'B')
  expect((await a.get('task', {task: task.id})).status).toBe(404)
  expect((await a.get('codebaseTasks', {codebase: 'global'})).body).toEqual([])
  expect((await b.get('codebaseTasks', {codebase: 'global'})).body).toMatchObject([{id: task.id}])
})

test("a worker's token ends nothing that its worker does not hold, also not under its own id", async () => {
  await using at = await twoWorkers()
  const {admin, a, b, mine, running, waiting} = at
  const shared = await admin.create('global')
  for (const status of ['cancelled', 'failed', 'completed', 'pending', 'assigned', 'running'])
    for (const {id} of [running, waiting]) {
      expect(await a.report(id, 'A', status), status).toMatchObject({
        status: 409,
        body: {detail: expect.stringContaining('not held by worker A')},
      })
      expect((await a.report(id, 'B', status)).status).not.toBe(200)
    }

  for (const {id} of [mine, shared])
    for (const status of ['cancelled', 'failed', 'completed'])
      expect((await a.report(id, 'A', status)).status, status).toBe(409)
  expect((await a.post('release', {}, {task_id: running.id, status: 'failed'}, {query: {worker_id: 'A'}})).status).toBe(
    404,
  )
  const sent = await a.output(running.id, 'A', 'x')
  expect([sent.status, sent.body]).toEqual([409, {detail: `Task ${running.id} is not held by worker A`}])
  expect((await a.claim(running.id, 'A')).status).toBe(409)
  expect((await a.claim(waiting.id, 'A')).status).toBe(409)
  expect(await admin.task(running.id)).toMatchObject({status: 'running', worker_id: 'B', cancel_requested_at: null})
  expect((await admin.task(waiting.id)).status).toBe('pending')
  expect((await b.report(running.id, 'B', 'completed')).status).toBe(200)
})

test("a stream is offered tasks of the worker's own codebases only, whatever it names", async () => {
  await using at = await twoWorkers()
  const {admin, a, b, own, foreign, waiting, running} = at
  await b.report(running.id, 'B', 'completed')
  await b.post('unregister', {worker: 'B'})
  await using stream = await openStream(a, 'A', {'x-codebases': `${own}, ${foreign}`})
  expect(stream.response.status).toBe(200)
  const named = async () => (await a.get('connectedWorker', {worker: 'A'})).body.codebases
  expect(await named()).toEqual([own])
  const put = await a.send('PUT', pathTo('workerCodebases', {}, {worker_id: 'A'}), {codebases: [foreign, own]})
  expect(put).toMatchObject({status: 200, body: {codebases: [own]}})
  expect(await named()).toEqual([own])
  expect((await a.claim(waiting.id, 'A')).body.detail).toContain('does not serve codebase')
  expect(await admin.task(waiting.id)).toMatchObject({status: 'pending', worker_id: null})
})

test("an unused worker's token does not take the id of another worker", async () => {
  await using at = await twoWorkers()
  const {of, admin} = at
  const spare = of('token-of-worker-s')
  expect((await spare.registerOwn('B')).body.detail).toContain(
    'Worker B belongs to another token. To replace that one by "spare" remove it,',
  )
  expect(await spare.codebase('B', '/x').catch(() => 'refused')).toBe('refused')
  await using stream = await openStream(spare, 'B')
  expect(stream.response.status).toBe(403)

  expect((await of('token-of-worker-o').registerOwn('C', {machine_id: 'mc'})).status).toBe(200)
  expect((await spare.registerOwn('C', {machine_id: 'mc'})).body.detail).toContain(
    'or let both name the worker: NAME/worker=C:TOKEN',
  )
  await admin.registerOwn('D', {machine_id: 'md'})
  await admin.register('P')
  expect((await spare.registerOwn('D', {machine_id: 'other'})).body.detail).toContain('a2a-worker workers forget D')
  expect((await spare.registerOwn('D')).status).toBe(403)
  expect((await spare.register('P')).status).toBe(403)
  expect((await spare.heartbeat('D', [])).status).toBe(403)
  expect((await spare.get('tasks')).body).toEqual([])
  expect((await spare.registerOwn('D', {machine_id: 'md'})).status).toBe(200)
})

test('a new token takes the place of a removed one, and a worker that the configuration names belongs to that token', async () => {
  await using folder = await scratch()
  const database = folder.file('plane.db')
  const register = async (configured: string, token: string) => {
    await using plane = await startPlane({database, tokens: parseTokens(configured)})
    return (await new Api(plane.url, token).registerOwn('W', {machine_id: 'm'})).status
  }
  expect(await register('box/worker:old-token', 'old-token')).toBe(200)
  expect(await register('box/worker:old-token,new/worker:new-token', 'new-token')).toBe(403)
  expect(await register('box/worker:new-token', 'new-token')).toBe(200)
  expect(await register('box/worker:new-token,w/worker=W:own-token', 'new-token')).toBe(403)
  expect(await register('box/worker:new-token,w/worker=W:own-token', 'own-token')).toBe(200)
})

test("a worker inherits nothing by another's name and host, with a token of its own or without one", async () => {
  await using at = await twoWorkers({timings: {silentWorkerMs: 1}})
  const {admin, a, b, of, foreign} = at
  await b.post('sessionsSync', {codebase: foreign}, {worker_id: 'B', sessions: [{id: 's', title: 'secret'}]})
  await b.register('B', {machine_id: 'mb'}) // as the existing worker, whose namesakes inherit from it
  await b.post('unregister', {worker: 'B'})
  await a.register('A', {...machine, name: 'B'})
  await of('token-of-worker-s').register('S', {...machine, name: 'B', machine_id: 'mb'})
  const heirs = [
    [a, 'A'],
    [of('token-of-worker-s'), 'S'],
  ] as const
  for (const [api, id] of heirs) {
    const taken = await api.codebase(id, '/b')
    expect(taken).not.toBe(foreign)
    expect((await api.get('sessions', {codebase: taken})).body.sessions).toEqual([])
    expect((await api.get('sessions', {codebase: foreign})).status).toBe(403)
  }
  expect((await admin.get('codebase', {codebase: foreign})).body.worker_id).toBe('B')
})

test('rights are checked before a body is read', async () => {
  await using at = await twoWorkers()
  const {a, of, plane, running, foreign} = at
  /** Announces a body and never sends it. */
  const answers = async (token: string, method: string, path: string) => {
    const {request} = await import('node:http')
    const headers = {authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-length': '1000'}
    const sent = request(plane.url + path, {method, headers})
    sent.flushHeaders()
    sent.on('error', () => {})
    const status = await new Promise<number | undefined>((resolve) => sent.on('response', (r) => resolve(r.statusCode)))
    sent.destroy()
    return status
  }
  const onTask = {task: running.id}
  expect(await answers('token-of-worker-a', 'PUT', pathTo('taskStatus', onTask))).toBe(409)
  expect(await answers('token-of-worker-a', 'POST', pathTo('taskOutput', onTask))).toBe(409)
  expect(await answers('token-of-worker-a', 'POST', pathTo('codebaseTasks', {codebase: foreign}))).toBe(403)
  expect(await answers('token-of-worker-a', 'POST', pathTo('sessionsSync', {codebase: foreign}))).toBe(403)
  expect(await answers('token-of-worker-a', 'POST', pathTo('heartbeat', {worker: 'B'}))).toBe(403)
  expect(await answers('token-of-worker-a', 'POST', pathTo('claim', {}, {worker_id: 'B'}))).toBe(403)
  expect(await answers('token-of-worker-s', 'PUT', pathTo('taskStatus', onTask))).toBe(403)
  expect((await a.heartbeat('A', [])).status).toBe(200)
  expect((await of('token-of-worker-s').registerOwn('S')).status).toBe(200)
})

test("an existing worker's poll, which names no worker, is answered with what its token's worker may take", async () => {
  await using at = await twoWorkers()
  const {admin, a, b, mine, running, waiting} = at
  await a.register('A') // without leases
  await b.register('B')
  await admin.report(running.id, 'B', 'completed')
  const poll = async (api: Api) => {
    const query = {status: 'pending'}
    const {body} = await api.get('tasks', {}, {query, headers: {'user-agent': 'Python/3.11 aiohttp/3.8.4'}})
    return body.map(({id}: {id: string}) => id)
  }
  expect(await poll(a)).toEqual([mine.id])
  expect(await poll(b)).toEqual([waiting.id])
  const path = '/v1/opencode/tasks?status=pending&worker%5Fid=B'
  expect((await admin.send('GET', path)).body).toMatchObject([{id: waiting.id}])
  expect((await a.send('GET', path)).status).toBe(403)
  expect((await a.send('GET', `${path}&worker_id=A`)).status).toBe(403)
  expect((await poll(admin)).toSorted()).toEqual([mine.id, waiting.id].toSorted())
})

test('our client understands a refusal that comes before it has sent a long body', async () => {
  await using at = await twoWorkers()
  await using client = new ControlPlaneClient({baseUrl: at.plane.url, token: 'token-of-worker-a'})
  const bytes = Buffer.alloc(3_500_000, 'x')
  for (let tries = 0; tries < 20; tries++) {
    const sent = client.postRawOutput(at.running.id, bytes, {
      workerId: 'A',
      attempt: 1,
      offset: 0,
      length: bytes.length,
    })
    await expect(sent).rejects.toMatchObject({status: 409, next: undefined})
  }
})

test("a worker with an admin's token works as before, and the log warns of it once", async () => {
  const log: string[] = []
  const note = {log: (line: string, level?: string) => void (level === 'warn' && log.push(line))}
  await using at = await twoWorkers(note)
  const {admin, foreign, running} = at
  await admin.register('py')
  await admin.register('py')
  expect(log).toEqual([expect.stringMatching(/^Worker py \(py\) has an admin's token: .*NAME\/worker:TOKEN$/)])
  await using stream = await openStream(admin, 'py', {'x-codebases': foreign})
  expect((await admin.get('connectedWorker', {worker: 'py'})).body.codebases).toEqual([foreign])
  expect((await admin.report(running.id, 'py', 'cancelled')).body.task.cancel_requested_at).not.toBeNull()
  expect(stream.response.status).toBe(200)

  await using open = await startPlane({tokens, auth: 'stream-only', ...note})
  await new Api(open.url, 'token-of-the-admin').register('py')
  expect(log).toHaveLength(1)
})
