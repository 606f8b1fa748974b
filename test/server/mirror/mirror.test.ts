import {Redis} from 'ioredis'
import {afterAll, beforeAll, beforeEach, expect, test} from 'vitest'
import {pathTo} from '../../../src/lib/protocol/routes.ts'
import {startCluster} from '../../support/redis-groups.ts'
import {startRedis, type RedisServer} from '../../support/redis.ts'
import {sharedState} from '../../support/shared-state.ts'
import {Api} from '../support/api.ts'
import {openStream} from '../support/events.ts'
import {scratch, startPlane, until, type TestPlane} from '../support/plane.ts'

let redis: RedisServer
let client: Redis
beforeAll(async () => {
  redis = await startRedis()
  client = new Redis(redis.url)
  client.on('error', () => {})
})
afterAll(async () => {
  client.disconnect()
  await redis[Symbol.asyncDispose]()
})
beforeEach(() => client.flushall())

const prefix = '{a2a-worker}:'
const features = ['lease', 'decline', 'fetch', 'assign']
const mirror = (url = redis.url) => ({
  mirror: {url, prefix, timings: {collectMs: 10, longMs: 20, refreshMs: 200, pauseMs: 50}},
})
/** In a file, and in Redis. */
const states = {sqlite: () => ({database: ':memory:'}), redis: () => sharedState(redis.url, prefix)}
const a2a = 'a2a:opencode:'

const read = async (key: string) => JSON.parse((await client.get(a2a + key)) ?? 'null')
const members = async (key: string) => (await client.smembers(a2a + key)).toSorted()

/** A worker with a codebase, a session and its messages. */
async function fill(api: Api) {
  await api.register('w', {features, capabilities: ['x'], models: [{id: 'p/m', name: 'm', provider: 'p'}]})
  const codebase = await api.codebase('w', '/srv/app')
  const session = {id: 's1', title: 'First', directory: '/srv/app', created: '2026-01-01T00:00:00Z'}
  await api.post('sessionsSync', {codebase}, {worker_id: 'w', sessions: [session, {...session, id: 's2'}]})
  const messages = [1, 2].map((n) => ({id: `m${n}`, role: 'user', parts: [{type: 'text', text: `Zeile ${n}\n`}]}))
  await api.post('messagesSync', {codebase, session: 's1'}, {worker_id: 'w', messages})
  return codebase
}

/** Waits until the keys are what the routes answer. */
async function agrees(api: Api, codebase: string): Promise<void> {
  const get = async (path: string) => (await api.send('GET', path)).body
  await until(async () => {
    const [worker, shown] = await Promise.all([
      get(pathTo('worker', {worker: 'w'})),
      get(pathTo('codebase', {codebase})),
    ])
    const same = async (key: string, wanted: unknown) => JSON.stringify(await read(key)) === JSON.stringify(wanted)
    return (await same('workers:w', worker)) && (await same(`codebases:${codebase}:meta`, shown))
  })
  await until(async () => (await read('sessions:s1:messages'))?.messages.length === 2)
  expect(await members('workers:index')).toEqual(['w'])
  expect(await members('codebases:index')).toEqual([codebase])
  const sessions = await get(pathTo('sessions', {codebase}))
  await until(async () => (await read(`codebases:${codebase}:sessions`))?.updated_at === sessions.synced_at)
  expect(await read(`codebases:${codebase}:sessions`)).toEqual({
    ...{worker_id: 'w', updated_at: sessions.synced_at},
    sessions: sessions.sessions,
  })
  const messages = await get(pathTo('messages', {codebase, session: 's1'}))
  await until(async () => (await read('sessions:s1:messages'))?.updated_at === messages.synced_at)
  expect(await read('sessions:s1:messages')).toEqual({
    ...{worker_id: 'w', updated_at: messages.synced_at},
    messages: messages.messages,
  })
  for (const key of await client.keys(`${a2a}*`)) expect(await client.ttl(key), key).toBe(-1)
}

for (const [name, state] of Object.entries(states)) {
  test(`the keys have what the routes answer, and go with what they are of (state in ${name})`, async () => {
    await using plane = await startPlane({...state(), ...mirror()})
    const api = new Api(plane.url)
    const codebase = await fill(api)
    await agrees(api, codebase)

    await using _ = await openStream(api, 'w')
    const task = await api.create(codebase)
    await until(async () => (await read('workers:w')).running === 1 && (await read('workers:w')).connected)
    await api.send('PUT', pathTo('taskStatus', {task: task.id}), {status: 'completed', worker_id: 'w', attempt: 1})
    await until(async () => (await read('workers:w')).running === 0)
    await agrees(api, codebase)

    await api.post('sessionsSync', {codebase}, {worker_id: 'w', sessions: [], partial: true, deleted: ['s2']})
    await until(async () => (await read(`codebases:${codebase}:sessions`)).sessions.length === 1)
    await api.send('DELETE', pathTo('codebase', {codebase}))
    await until(async () => (await client.keys(`${a2a}codebases:*`)).length === 0)
    await until(async () => (await client.keys(`${a2a}sessions:*`)).length === 0)
    await api.post('unregister', {worker: 'w'})
    await until(async () => (await client.keys(`${a2a}*`)).length === 0)
    expect(await client.hlen(`${prefix}mirror`)).toBe(0)
    expect(plane.log.filter((line) => /mirror/i.test(line))).toEqual([])
  })
}

test("somebody else's keys stay byte for byte, and are named once", async () => {
  await client.set(`${a2a}workers:w`, 'theirs')
  await client.sadd(`${a2a}codebases:index`, 'x', 'y')
  await client.set(`${a2a}codebases:other:meta`, '{}')
  const dumps = async () =>
    Promise.all(['workers:w', 'codebases:index', 'codebases:other:meta'].map((key) => client.dumpBuffer(a2a + key)))
  const before = await dumps()
  await using plane = await startPlane(mirror())
  const api = new Api(plane.url)
  const codebase = await fill(api)
  await until(async () => (await read(`codebases:${codebase}:meta`)) !== null)
  await until(() => plane.log.length >= 2)
  const line = (key: string) =>
    `The key ${a2a}${key} in Redis belongs to somebody else, so --redis-mirror leaves it alone`

  // they take a key of ours over, too
  await client.set(`${a2a}codebases:${codebase}:meta`, 'now theirs')
  await api.heartbeat('w', [])
  await api.send('DELETE', pathTo('codebase', {codebase}))
  await api.post('unregister', {worker: 'w'})
  await until(() => plane.log.includes(line(`codebases:${codebase}:meta`)))
  expect(await client.get(`${a2a}codebases:${codebase}:meta`)).toBe('now theirs')
  expect(await dumps()).toEqual(before)
  const told = plane.log.filter((text) => text.startsWith('The key'))
  expect(told.toSorted()).toEqual(
    [line('workers:w'), line('codebases:index'), line(`codebases:${codebase}:meta`)].toSorted(),
  )
})

test('after a restart, and after Redis was away, the keys are made right', async () => {
  await using folder = await scratch()
  const database = folder.file('plane.db')
  await using own = await startRedis()
  const start = (more = {}) => startPlane({database, ...more})
  const first = await start(mirror(own.url))
  const api = new Api(first.url)
  await using reader = disposable(new Redis(own.url))
  const has = async (key: string) => (await reader.exists(a2a + key).catch(() => 0)) === 1
  await fill(api)
  await api.register('gone')
  await until(() => has('workers:gone'))
  await until(() => has('sessions:s1:messages'))

  await own.stop()
  await api.register('late')
  expect((await api.get('workers')).body).toHaveLength(3)
  await own.start() // it has kept nothing
  await until(async () => (await has('workers:late')) && (await has('sessions:s1:messages')))
  await first.close()

  const without = await start()
  await new Api(without.url).post('unregister', {worker: 'gone'})
  await new Api(without.url).register('new')
  await without.close()
  expect([await has('workers:gone'), await has('workers:new')]).toEqual([true, false])
  await using again: TestPlane = await start(mirror(own.url))
  await until(async () => !(await has('workers:gone')) && (await has('workers:new')))
  expect(again.log.filter((line) => line.startsWith('The key'))).toEqual([])
})

test('two control planes with one state leave what both of them answer', async () => {
  const shared = {...states.redis(), ...mirror()}
  await using a = await startPlane(shared)
  await using b = await startPlane(shared)
  const [apiA, apiB] = [new Api(a.url), new Api(b.url)]
  const codebase = await fill(apiA)
  for (let n = 0; n < 20; n++) await (n % 2 === 0 ? apiA : apiB).register('w', {features, name: `name ${n}`})
  await until(async () => (await read('workers:w'))?.name === 'name 19')
  await agrees(apiB, codebase)
  await apiB.post('unregister', {worker: 'w'})
  await until(async () => (await client.exists(`${a2a}workers:w`)) === 0)
  expect([...a.log, ...b.log].filter((line) => /mirror/i.test(line))).toEqual([])
})

test('a Redis Cluster is refused, and a Redis that is away keeps nothing from starting', async () => {
  await using cluster = await startCluster()
  const node = `redis://127.0.0.1:${cluster.redis[0]?.port}`
  for (const url of [cluster.url, node])
    await expect(startPlane(mirror(url))).rejects.toMatchObject({
      exitCode: 78,
      message: expect.stringContaining('is a Cluster, in which --redis-mirror does not work'),
      suggestions: [expect.stringContaining('Omit --redis-mirror')],
    })
  await using away = await startRedis()
  await away.stop()
  await using plane = await startPlane(mirror(away.url))
  expect(plane.log).toEqual([expect.stringContaining('The mirror is written when Redis answers')])
  const api = new Api(plane.url)
  await api.register('w')
  await away.start()
  await using reader = disposable(new Redis(away.url))
  await until(async () => (await reader.exists(`${a2a}workers:w`)) === 1)
})

function disposable(connection: Redis) {
  connection.on('error', () => {})
  return Object.assign(connection, {[Symbol.asyncDispose]: async () => connection.disconnect()})
}
