import {expect, test} from 'vitest'
import {pathTo} from '../../../src/lib/protocol/routes.ts'
import {parseTokens} from '../../../src/lib/server/http/auth.ts'
import {Api} from '../support/api.ts'
import {Listener} from '../support/events.ts'
import {startPlane, until} from '../support/plane.ts'

async function watched(options: Parameters<typeof startPlane>[0] = {}) {
  const plane = await startPlane(options)
  const api = new Api(plane.url)
  await api.registerOwn('w')
  const codebase = await api.codebase('w', '/a')
  const path = pathTo('codebaseEvents', {codebase})
  const watch = async (headers = {}) => {
    const listener = await Listener.open(api, path, headers)
    await until(() => listener.events.length > 0)
    return listener
  }
  const send = (id: string, output: string, offset: number) =>
    api.output(id, 'w', output, {attempt: 1, offset, length: output.length})
  return {plane, api, codebase, watch, send, [Symbol.asyncDispose]: () => plane.close()}
}

const shape = ({events}: Listener) =>
  events.map(({event, data}) => {
    const {task_status, output, content} = JSON.parse(data)
    return [event, task_status ?? output ?? content].filter((word) => word !== undefined).join(' ')
  })

test("a codebase's events are the states, output and results of its own tasks only", async () => {
  await using one = await watched()
  const {api, codebase} = one
  const other = await api.codebase('w', '/b')
  await using events = await one.watch()
  expect(events.data('connected')[0]).toMatchObject({codebase_id: codebase, status: 'idle'})
  await api.create(other)
  const {id} = await api.create(codebase)
  await until(() => events.data('status').length === 1)
  await api.claim(id, 'w')
  await until(() => events.data('status').length === 2)
  expect(events.data('status')[1]).toMatchObject({status: 'running', task_id: id, worker_id: 'w', title: 'T'})
  await one.send(id, 'one ', 0)
  await until(() => events.data('output').length === 1)
  await one.send(id, 'two', 4)
  await api.report(id, 'w', 'completed', {result: 'done'})
  await until(() => events.data('message').length === 1)
  expect(shape(events)).toEqual([
    'connected',
    'status pending',
    'status running',
    'output one ',
    'output two',
    'status completed',
    'message done',
  ])
  expect(events.data('message')[0]).toEqual({
    type: 'result',
    task_id: id,
    status: 'completed',
    content: 'done',
    error: null,
  })
})

test('a reader that reconnects with Last-Event-ID gets the output that it missed', async () => {
  await using one = await watched()
  const {api, codebase} = one
  const first = await api.create(codebase)
  await api.claim(first.id, 'w')
  await one.send(first.id, 'one ', 0)
  const reader = await one.watch()
  await one.send(first.id, 'two ', 4)
  const last = (await until(() => reader.events.find(({event}) => event === 'output'))).id ?? ''
  expect(shape(reader)).toEqual(['connected', 'status running', 'output two '])
  await reader[Symbol.asyncDispose]()

  await one.send(first.id, 'three', 8)
  await api.report(first.id, 'w', 'failed', {error: 'no'})
  const second = await api.create(codebase)
  await api.claim(second.id, 'w')
  await one.send(second.id, 'new', 0)
  await using back = await one.watch({'last-event-id': last})
  await until(() => back.data('output').length === 2)
  expect(shape(back)).toEqual([
    'connected',
    'output three',
    'status failed',
    'message ',
    'status running',
    'output new',
  ])
  await using fresh = await one.watch({'last-event-id': 'none of ours'})
  await until(() => fresh.data('status').length === 1)
  expect(fresh.data('output')).toEqual([])
})

test('the stream sends keep-alives, and ends when its codebase is removed', async () => {
  await using one = await watched({timings: {keepAliveMs: 20}})
  let bytes = 0
  const response = await fetch(one.plane.url + pathTo('codebaseEvents', {codebase: one.codebase}))
  const reading = (async () => {
    for await (const chunk of response.body ?? []) bytes += (chunk as Uint8Array).length
  })()
  await until(() => bytes > 200)
  await using events = await one.watch()
  await one.api.create(one.codebase)
  await one.api.send('DELETE', pathTo('codebase', {codebase: one.codebase}))
  await reading
  await until(() => events.isEnded)
  expect(events.data('status').at(-1)).toEqual({codebase_id: one.codebase, status: 'removed'})
  expect(one.plane.log).toEqual([])
})

test('global tasks have events, too; an unknown codebase is 404', async () => {
  await using one = await watched()
  await using events = await Listener.open(one.api, pathTo('codebaseEvents', {codebase: 'global'}))
  await until(() => events.events.length > 0)
  const {id} = await one.api.create('global')
  await until(() => events.data('status').some(({task_id}) => task_id === id))
  expect((await one.api.get('codebaseEvents', {codebase: 'x'})).body.detail).toBe('Codebase not found')
  expect(await one.api.send('HEAD', pathTo('codebaseEvents', {codebase: 'global'}))).toMatchObject({status: 200})
})

test('events require a token if tokens are configured', async () => {
  await using plane = await startPlane({tokens: parseTokens('ci/client:client,w/worker:worker')})
  const [client, worker] = [new Api(plane.url, 'client'), new Api(plane.url, 'worker')]
  await worker.registerOwn('w')
  const codebase = await worker.codebase('w', '/a')
  expect((await new Api(plane.url).get('codebaseEvents', {codebase})).status).toBe(401)
  await using events = await Listener.open(client, pathTo('codebaseEvents', {codebase}))
  await until(() => events.data('connected').length === 1)
})
