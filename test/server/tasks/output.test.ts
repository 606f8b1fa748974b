import {connect} from 'node:net'
import {setFlagsFromString} from 'node:v8'
import {runInNewContext} from 'node:vm'
import {expect, test} from 'vitest'
import {pathTo} from '../../../src/lib/protocol/routes.ts'
import type {OutputChunk} from '../../../src/lib/protocol/schemas.ts'
import {Api} from '../support/api.ts'
import {Listener} from '../support/events.ts'
import {startPlane, until} from '../support/plane.ts'

async function runningTask(options: Parameters<typeof startPlane>[0] = {}) {
  const plane = await startPlane(options)
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const {id} = await api.create('global')
  await api.claim(id, 'w')
  const send = (output: string, offset: number, more: object = {}) =>
    api.output(id, 'w', output, {attempt: 1, offset, length: Buffer.byteLength(output), ...more})
  const page = async (since = 0) => (await api.get('taskOutput', {task: id}, {query: {since}})).body
  return {plane, api, id, send, page, [Symbol.asyncDispose]: () => plane.close()}
}

/** Bytes in buffers after a garbage collection. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().arrayBuffers
}

const textOf = (chunks: Pick<OutputChunk, 'output'>[]) => chunks.map(({output}) => output).join('')

test('a batch is stored once and in order: repeats are dropped, gaps and overlaps are refused with the expected offset', async () => {
  await using run = await runningTask()
  expect((await run.send('abc', 0)).body).toEqual({success: true, next: 3})
  expect((await run.send('abc', 0)).body).toEqual({success: true, next: 3})
  expect(await run.send('x', 4)).toMatchObject({status: 409, body: {next: 3}})
  expect(await run.send('bcd', 1)).toMatchObject({status: 409, body: {next: 3}})
  expect((await run.send('d', 3)).body.next).toBe(4)
  expect((await run.send('***', 4, {length: 9})).body.next).toBe(13) // redacted: shorter than the original
  expect(textOf((await run.page()).outputs)).toBe('abcd***')
  expect((await run.send('y', 13, {attempt: 2})).status).toBe(409)
  expect((await run.api.output(run.id, 'other', 'y')).status).toBe(409)
  expect((await run.api.output('nothing', 'w', 'y')).status).toBe(404)
})

test('concurrent repeats of one batch are stored once', async () => {
  await using run = await runningTask()
  await Promise.all(Array.from({length: 20}, () => run.send('once', 0)))
  expect(textOf((await run.page()).outputs)).toBe('once')
})

test('a raw body is stored byte for byte, with the replacement character for invalid UTF-8', async () => {
  await using run = await runningTask()
  const bytes = Buffer.concat([Buffer.from('{"a":"\u0000é"}\n'), Buffer.from([0xff]), Buffer.from('\n')])
  const query = {worker_id: 'w', attempt: 1, offset: 0, length: bytes.length}
  const headers = {'content-type': 'application/x-ndjson'}
  const raw = () => run.api.post('taskOutput', {task: run.id}, new Uint8Array(bytes), {query, headers})
  expect((await raw()).body.next).toBe(bytes.length)
  expect((await raw()).body.next).toBe(bytes.length)
  expect(textOf((await run.page()).outputs)).toBe(bytes.toString())
  const bad = await run.api.post('taskOutput', {task: run.id}, 'x', {query: {worker_id: 'w'}, headers})
  expect(bad).toMatchObject({
    status: 422,
    body: {detail: expect.arrayContaining([expect.objectContaining({type: 'missing'})])},
  })
})

test('a page has at most a megabyte, and the page at the end is empty', async () => {
  await using run = await runningTask()
  const big = '😀é'.repeat(500_000)
  expect((await run.send(big, 0)).body.next).toBe(3_000_000)
  let text = ''
  for (let since = 0; ;) {
    const {outputs, next, total} = await run.page(since)
    expect(Buffer.byteLength(textOf(outputs))).toBeLessThanOrEqual(1024 * 1024)
    text += textOf(outputs)
    since = next
    if (next === total) break
  }
  expect(text).toBe(big)
  expect((await run.page(999)).outputs).toEqual([])
})

test('a follower gets all output live, resumes at its position, and is notified of the end', async () => {
  await using run = await runningTask({timings: {keepAliveMs: 30}})
  await run.send('one ', 0)
  const path = pathTo('taskOutputStream', {task: run.id})
  await using live = await Listener.open(run.api, path)
  await until(() => live.data('output').length === 1)
  await run.send('two ', 4)
  await until(() => live.data('output').length === 2)
  expect(live.events.map(({id}) => id)).toEqual(['1', '2'])
  await using resumed = await Listener.open(run.api, path, {'last-event-id': '1'})
  await using later = await Listener.open(run.api, `${path}?since=2`)
  await run.send('three', 8)
  await run.api.report(run.id, 'w', 'completed')
  for (const reader of [live, resumed, later]) {
    await until(() => reader.isEnded)
    expect(reader.data('done')).toEqual([{status: 'completed'}])
  }
  expect(textOf(live.data('output'))).toBe('one two three')
  expect(textOf(resumed.data('output'))).toBe('two three')
  expect(textOf(later.data('output'))).toBe('three')
  await using after = await Listener.open(run.api, path)
  await until(() => after.isEnded)
  expect(textOf(after.data('output'))).toBe('one two three')
})

test('a follower that does not read uses no memory, and gets everything once it reads', async () => {
  await using run = await runningTask()
  const batch = 'x'.repeat(60_000)
  const socket = connect(run.plane.port, '127.0.0.1')
  socket.write(`GET ${pathTo('taskOutputStream', {task: run.id})} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
  socket.pause()
  const before = heldBytes()
  for (let i = 0; i < 300; i++) await run.send(batch, i * batch.length)
  await run.api.report(run.id, 'w', 'completed')
  await until(() => heldBytes() - before < 5_000_000)
  let received = 0
  let tail = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length
    tail = (tail + chunk.toString('latin1')).slice(-200)
  })
  socket.resume()
  await until(() => tail.includes('event: done'))
  expect(received).toBeGreaterThan(300 * batch.length)
  socket.destroy()
})

test('a task stream with a stuck reader is closed, and other streams continue', async () => {
  await using plane = await startPlane({timings: {offerMs: 10}})
  const api = new Api(plane.url)
  await api.registerOwn('stuck', {global_codebase_id: 'g', max_concurrent_tasks: 1000})
  const socket = connect(plane.port, '127.0.0.1')
  socket.write(`GET ${pathTo('taskStream', {}, {worker_id: 'stuck'})} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
  socket.pause()
  await until(async () => (await api.get('connected')).body.count === 1)
  for (let i = 0; i < 100; i++) await api.create('global', {prompt: 'x'.repeat(29_000)})
  await until(async () => (await api.get('connected')).body.count === 0)
  socket.destroy()
})
