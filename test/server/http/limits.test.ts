import {connect} from 'node:net'
import {once} from 'node:events'
import {expect, test} from 'vitest'
import {isDeeperText} from '../../../src/lib/protocol/parse.ts'
import {Api} from '../support/api.ts'
import {startPlane, until} from '../support/plane.ts'

test('a field that is longer than any honest one is refused with its name, and the limit', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const long = 'x'.repeat(3_500_000)
  const codebase = await api.codebase('w', '/srv/app')
  for (const [path, body, field] of [
    ['/v1/opencode/workers/register', {worker_id: 'w', name: long}, 'name'],
    ['/v1/opencode/workers/register', {worker_id: long, name: 'w'}, 'worker_id'],
    ['/v1/opencode/workers/register', {worker_id: 'w', name: 'w', capabilities: [long]}, 'capabilities'],
    ['/v1/opencode/codebases', {worker_id: 'w', name: 'c', path: `/${long}`}, 'path'],
    ['/v1/opencode/codebases', {worker_id: 'w', name: 'c', path: '/a', agent_config: {a: long}}, 'agent_config'],
    [`/v1/opencode/codebases/${codebase}/tasks`, {title: 't', prompt: 'p', agent_type: long}, 'agent_type'],
    [`/v1/opencode/codebases/${codebase}/tasks`, {title: 't', prompt: 'p', metadata: {a: long}}, 'metadata'],
    ['/v1/worker/tasks/claim?worker_id=w', {task_id: long}, 'task_id'],
  ] as const) {
    const answer = await api.send('POST', path, body)
    expect(answer.status, field).toBe(422)
    expect(answer.body.detail[0].loc).toContain(field)
    expect(JSON.stringify(answer.body).length).toBeLessThan(2000)
  }
})

test('a body of nothing but brackets is refused at once, and depth within texts is none', async () => {
  await using plane = await startPlane()
  const api = new Api(plane.url)
  for (const body of ['['.repeat(4_000_000), '{"a":'.repeat(500_000), '["a",'.repeat(500_000)])
    expect((await api.send('POST', '/v1/opencode/workers/register', body)).status).toBe(422)
  const deep = (levels: number) => Buffer.from(`${'['.repeat(levels)}${']'.repeat(levels)}`)
  expect([isDeeperText(deep(100), 100), isDeeperText(deep(101), 100)]).toEqual([false, true])
  expect(isDeeperText(Buffer.from(JSON.stringify({text: `${'[{'.repeat(500)} \\" ${'[['.repeat(500)}`})), 2)).toBe(
    false,
  )
  expect(plane.log).toEqual([])
})

test('a client that hangs up while it sends its request is no bug in the log', async () => {
  await using plane = await startPlane()
  const socket = connect(plane.port, '127.0.0.1')
  await once(socket, 'connect')
  const head = 'POST /v1/opencode/workers/register HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n'
  socket.write(`${head}Content-Length: 1000\r\n\r\n{"worker_id"`)
  await new Promise((resolve) => setTimeout(resolve, 50))
  socket.resetAndDestroy()
  const api = new Api(plane.url)
  await until(async () => (await api.get('health')).status === 200)
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(plane.log).toEqual([])
})
