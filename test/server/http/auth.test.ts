import {expect, test} from 'vitest'
import {createAuthGuard, hashToken, parseTokens} from '../../../src/lib/server/http/auth.ts'
import {Api} from '../support/api.ts'
import {openStream} from '../support/events.ts'
import {scratch, startPlane} from '../support/plane.ts'

const tokens = parseTokens('ops:admin, ci/client:client, any/worker:worker, w1/worker=W1:bound')

test('a token is written as name:token, with an optional scope and worker after the name', () => {
  expect(tokens).toEqual([
    {name: 'ops', scope: 'admin', workerId: undefined, token: 'admin'},
    {name: 'ci', scope: 'client', workerId: undefined, token: 'client'},
    {name: 'any', scope: 'worker', workerId: undefined, token: 'worker'},
    {name: 'w1', scope: 'worker', workerId: 'W1', token: 'bound'},
  ])
  expect(parseTokens('')).toEqual([])
  expect(parseTokens('a:bbbb:c')[0]?.token).toBe('bbbb:c')
  for (const bad of ['a/root:long', 'a:', 'a/client=x:long', 'a/worker=:long'])
    expect(() => parseTokens(bad)).toThrow(/token/)
  expect(() => parseTokens('a/root:very-secret')).not.toThrow(/very-secret/)
})

test('a token with a comma does not become an admin without a name; tokens without names are those of the existing server', () => {
  expect(() => parseTokens('me:abcd,efgh')).toThrow('entry 2 of the tokens has no name, but others have one')
  expect(() => parseTokens('me:abcd,efgh')).not.toThrow(/efgh/)
  expect(parseTokens('one-token, another-token')).toEqual([
    {name: '', scope: 'admin', token: 'one-token'},
    {name: '', scope: 'admin', token: 'another-token'},
  ])
})

test('a token of up to three characters is refused, and short ones and nameless ones are warned of', async () => {
  for (const bad of ['a', 'me:a', 'me:abc', 'box/worker:abc', 'abc,def'])
    expect(() => parseTokens(bad), bad).toThrow('has fewer than 4 characters')
  await using plane = await startPlane({tokens: parseTokens('me:abcd, long:0123456789abcdef')})
  expect(plane.log).toEqual([
    'Tokens of fewer than 16 characters can be guessed: "me". `openssl rand -hex 24` makes a good token.',
  ])
  await using bare = await startPlane({tokens: parseTokens('0123456789abcdef')})
  expect(bare.log).toEqual([expect.stringMatching(/^A token without a name is an admin's.*Write name:token\.$/)])
  expect((await new Api(bare.url, '0123456789abcdef').get('tasks')).status).toBe(200)
})

test('the control plane keeps no token, only hashes', async () => {
  const token = `t0ken-${'x'.repeat(3)}-${Date.now()}`
  await using plane = await startPlane({tokens: parseTokens(`me:${token}`)})
  expect((await new Api(plane.url, token).get('tasks')).status).toBe(200)
  expect(JSON.stringify(plane.tokens)).toBe('[{"name":"me","scope":"admin"}]')
  expect(JSON.stringify(hashToken({name: 'me', scope: 'admin', token}))).not.toContain(token)
})

test('every route except for the health checks requires a token', async () => {
  await using plane = await startPlane({tokens})
  const nobody = new Api(plane.url)
  expect(await nobody.get('tasks')).toMatchObject({status: 401, body: {detail: 'Missing Bearer token'}})
  expect(await new Api(plane.url, 'wrong').get('tasks')).toMatchObject({status: 403, body: {detail: 'Invalid token'}})
  expect((await nobody.send('GET', '/v1/opencode/tasks', undefined, {authorization: 'bearer admin'})).status).toBe(401)
  for (const path of ['health', 'livez', 'readyz'] as const) expect((await nobody.get(path)).status).toBe(200)
  for (const token of ['admin', 'client', 'worker'])
    expect((await new Api(plane.url, token).get('tasks')).status).toBe(200)
})

test('in mode stream-only, only /v1/worker requires a token', () => {
  const gate = createAuthGuard(tokens.map(hashToken), 'stream-only')
  expect(gate(undefined, '/v1/opencode/tasks')).toBeUndefined()
  expect(() => gate(undefined, '/v1/worker/tasks/stream')).toThrow('Missing Bearer token')
  expect(gate('Bearer client', '/v1/worker/tasks/stream')).toMatchObject({name: 'ci', scope: 'client'})
})

test("a worker's token acts for its worker only, and neither creates nor cancels tasks", async () => {
  await using plane = await startPlane({tokens})
  const [admin, worker] = [new Api(plane.url, 'admin'), new Api(plane.url, 'bound')]
  expect((await worker.registerOwn('W2')).body.detail).toBe('The token "w1" belongs to another worker, not to W2')
  expect((await worker.registerOwn('W1')).status).toBe(200)
  await admin.registerOwn('W2')
  const codebase = await worker.codebase('W1', '/a')
  expect((await worker.post('codebases', {}, {name: 'x', path: '/x', worker_id: 'W2'})).status).toBe(403)
  expect((await worker.post('codebases', {}, {name: 'x', path: '/x'})).status).toBe(403)
  expect((await worker.post('codebaseTasks', {codebase}, {title: 'T', prompt: 'p'})).status).toBe(403)
  expect((await worker.post('trigger', {codebase}, {prompt: 'p'})).status).toBe(403)
  const task = await admin.create(codebase)
  expect((await worker.post('taskCancel', {task: task.id})).status).toBe(403)
  expect((await worker.claim(task.id, 'W2')).status).toBe(403)
  expect((await worker.claim(task.id, 'W1')).status).toBe(200)
  for (const answer of [
    await worker.report(task.id, 'W2', 'running'),
    await worker.output(task.id, 'W2', 'x'),
    await worker.heartbeat('W2', []),
    await worker.post('unregister', {worker: 'W2'}),
    await worker.post('release', {}, {task_id: task.id}, {query: {worker_id: 'W2'}}),
    await worker.post('decline', {}, {task_id: task.id}, {query: {worker_id: 'W2'}}),
  ])
    expect(answer.status).toBe(403)
  await using stream = await openStream(worker, 'W2')
  expect(stream.response.status).toBe(403)
  expect((await worker.report(task.id, 'W1', 'completed')).status).toBe(200)
})

test("a worker's token without an id is bound for good to the first worker that registers with it", async () => {
  await using folder = await scratch()
  const options = {tokens, database: folder.file('plane.db')}
  {
    await using plane = await startPlane(options)
    const worker = new Api(plane.url, 'worker')
    expect((await worker.heartbeat('w', [])).status).toBe(403)
    expect((await worker.registerOwn('w')).status).toBe(200)
    expect((await worker.registerOwn('v')).status).toBe(403)
  }
  await using plane = await startPlane(options)
  const worker = new Api(plane.url, 'worker')
  expect((await worker.registerOwn('v')).status).toBe(403)
  expect((await worker.heartbeat('w', [])).status).toBe(200)
})

test("a client's token creates, reads and cancels tasks, and does nothing that a worker does", async () => {
  await using plane = await startPlane({tokens})
  const [admin, client] = [new Api(plane.url, 'admin'), new Api(plane.url, 'client')]
  await admin.registerOwn('w')
  const codebase = await admin.codebase('w', '/a')
  const task = await client.create(codebase)
  for (const answer of [
    await client.registerOwn('x'),
    await client.heartbeat('w', []),
    await client.post('unregister', {worker: 'w'}),
    await client.post('codebases', {}, {name: 'x', path: '/x', worker_id: 'w'}),
    await client.report(task.id, 'w', 'running'),
    await client.output(task.id, 'w', 'x'),
    await client.claim(task.id, 'w'),
    await client.get('connected'),
  ])
    expect(answer).toMatchObject({status: 403, body: {detail: expect.stringContaining('client')}})
  expect((await client.post('taskCancel', {task: task.id})).body.task.status).toBe('cancelled')
})

test('the status is open like the health checks, and has only counts', async () => {
  await using plane = await startPlane({tokens: parseTokens('me:secret')})
  const owner = new Api(plane.url, 'secret')
  await owner.registerOwn('box-of-mine')
  const codebase = await owner.codebase('box-of-mine', '/srv/secret-project')
  await owner.create(codebase, {title: 'Secret title'})
  const {status, body} = await new Api(plane.url).get('status')
  expect(status).toBe(200)
  expect(body).toMatchObject({available: true, registered_codebases: 1, tasks: {pending: 1}})
  expect(JSON.stringify(body)).not.toMatch(/secret|mine|\/srv/i)
  expect((await fetch(`${plane.url}/v1/opencode/status`, {method: 'HEAD'})).status).toBe(200)
})
