import {openSync, closeSync, ftruncateSync, statSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import {Redis} from 'ioredis'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {pathTo} from '../../../src/lib/protocol/routes.ts'
import {startRedis, type RedisServer} from '../../support/redis.ts'
import {sharedState} from '../../support/shared-state.ts'
import {Api} from '../support/api.ts'
import {Listener, openStream} from '../support/events.ts'
import {scratch, startPlane, until} from '../support/plane.ts'

let redis: RedisServer
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis[Symbol.asyncDispose]())

let count = 0
/** Two control planes that share their state, and a client of each. */
async function pair(more = {}) {
  const prefix = `{pair-${(count += 1)}}:`
  const start = () => startPlane({...sharedState(redis.url, prefix), ...more})
  const [a, b] = await Promise.all([start(), start()])
  const api = (plane: {url: string}) => new Api(plane.url)
  return {
    a,
    b,
    prefix,
    start,
    apiA: api(a),
    apiB: api(b),
    async [Symbol.asyncDispose]() {
      await Promise.all([a.close(), b.close()])
    },
  }
}

const features = ['lease', 'decline', 'fetch', 'assign']

test('what is registered at one replica is at once the same at all', async () => {
  await using two = await pair()
  const {apiA, apiB} = two
  const routes = ['workers', 'codebases', 'tasks', 'connected', 'monitorWorkers', 'models'] as const
  for (let i = 0; i < 20; i++) {
    await apiA.register(`w${i}`, {features, models: [{id: `p/m${i}`, name: 'm'}], models_note: `note ${i}`})
    await apiB.create(await apiB.codebase(`w${i}`, `/c${i}`))
    for (const route of routes) {
      const [one, other] = await Promise.all([apiA.get(route), apiB.get(route)])
      const bare = ({body}: {body: unknown}) => JSON.stringify({...(body as object), timestamp: 0})
      expect(bare(one), route).toBe(bare(other))
    }
  }

  expect((await apiA.get('tasks')).body).toHaveLength(20)
})

test('a question that is asked at one replica is answered at the other, and the answer goes to the stream', async () => {
  await using two = await pair()
  const {apiA, apiB} = two
  await apiA.register('w', {features: [...features, 'input']})
  const codebase = await apiA.codebase('w', '/srv/app')
  await using stream = await openStream(apiA, 'w')
  const {id: task} = await apiB.create(codebase)
  await stream.pushed(task)
  await apiA.post('claim', {}, {task_id: task, attempt: 1}, {headers: {'x-worker-id': 'w'}})
  await using followed = await Listener.open(apiB, pathTo('taskOutputStream', {task}))
  const ask = (api: Api, questions: object[], inputs: object[] = []) =>
    api.send('PUT', pathTo('taskQuestions', {task}), {worker_id: 'w', attempt: 1, questions, inputs})
  await ask(apiA, [{id: 'q', kind: 'permission', title: 'bash: ls', options: [], since: 1, until: null}])
  expect((await apiB.task(task)).waiting_for).toMatchObject([{id: 'q'}])
  const body = {question: 'q', option: 'deny'}
  const answers = await Promise.all(
    [apiA, apiB].map((api, n) => api.post('taskInputs', {task}, {...body, id: `answer-${n}`})),
  )
  expect(answers.map(({status}) => status).sort()).toEqual([202, 409])
  const {input} = await until(() => stream.data('task_input')[0])
  await ask(apiB, [], [{id: input.id, outcome: 'delivered'}])
  expect((await apiA.get('taskInputs', {task})).body.inputs).toMatchObject([{id: input.id, state: 'delivered'}])
  await until(() => followed.data('questions').length === 2)
})

test('a task that is created at one replica goes to a stream of the other, and is followed and cancelled anywhere', async () => {
  await using two = await pair()
  const {apiA, apiB} = two
  await apiA.register('w', {features})
  const codebase = await apiA.codebase('w', '/srv/app')
  await using stream = await openStream(apiA, 'w')
  const task = await apiB.create(codebase)
  const {attempt} = await stream.pushed(task.id)
  await using followed = await Listener.open(apiB, pathTo('taskOutputStream', {task: task.id}))
  const claimed = await apiB.post('claim', {}, {task_id: task.id, attempt}, {headers: {'x-worker-id': 'w'}})
  expect(claimed.status).toBe(200)
  const position = {worker_id: 'w', attempt: Number(attempt), offset: 0, length: 6}
  await apiA.send('POST', pathTo('taskOutput', {task: task.id}, position), 'hello\n', {
    'content-type': 'application/x-ndjson',
  })
  await until(() => followed.data('output').length === 1)
  expect(followed.data('output')[0]).toMatchObject({output: 'hello\n'})
  expect((await apiB.get('connected')).body).toMatchObject({count: 1, workers: [{worker_id: 'w', is_busy: true}]})

  await apiB.post('taskCancel', {task: task.id})
  await until(() => stream.data('task_cancelled').some(({task_id}) => task_id === task.id))
  const end = {worker_id: 'w', attempt, status: 'cancelled'}
  await apiB.send('PUT', pathTo('taskStatus', {task: task.id}), end)
  await until(() => followed.data('done').length === 1)
  const {body: monitored} = await apiA.get('monitorMessages')
  expect(monitored).toEqual((await apiB.get('monitorMessages')).body)
  expect(monitored.length).toBeGreaterThan(3)
})

test('a worker that connects to another replica leaves its stream there, and is one worker', async () => {
  await using two = await pair()
  const {apiA, apiB} = two
  await apiA.register('w', {features})
  const codebase = await apiA.codebase('w', '/srv/app')
  await using first = await openStream(apiA, 'w')
  await using second = await openStream(apiB, 'w')
  await until(() => first.isEnded)
  const task = await apiA.create(codebase)
  await second.pushed(task.id)
  expect((await apiA.get('connected')).body.count).toBe(1)
})

test('two processes with one worker id at two replicas: the one that answers stays', async () => {
  await using two = await pair()
  const {apiA, apiB} = two
  await apiA.register('w', {features, instance: 'one'})
  await using _ = await openStream(apiA, 'w', {'x-instance': 'one'})
  await using answering = answer(apiB, 'w', 'one')
  const refused = await apiB.register('w', {features, instance: 'two'})
  expect(refused).toMatchObject({status: 409, body: {detail: expect.stringContaining('answers to it')}})
  expect(answering.isStopped).toBe(false)
})

/** Sends heartbeats of a process until disposed. */
function answer(api: Api, worker: string, instance: string) {
  const state = {isStopped: false}
  const running = (async () => {
    while (!state.isStopped) {
      await api.post('heartbeat', {worker}, {instance})
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })()
  return {
    ...state,
    async [Symbol.asyncDispose]() {
      state.isStopped = true
      await running
    },
  }
}

test('a new replica has all there is, and the streams of one that has ended end everywhere', async () => {
  await using two = await pair()
  const {apiA, a} = two
  await apiA.register('w', {features})
  const codebase = await apiA.codebase('w', '/srv/app')
  await using stream = await openStream(apiA, 'w')
  const task = await apiA.create(codebase)
  await stream.pushed(task.id)
  await using third = await two.start()
  const api = new Api(third.url)
  expect((await api.task(task.id)).status).toBe('assigned')
  expect((await api.get('connected')).body.count).toBe(1)
  await a.close()
  expect((await api.get('connected')).body.count).toBe(0)
})

test('while Redis is away requests get 503 with a time, streams stay, and all goes on when it is back', async () => {
  await using own = await startRedis()
  const shared = sharedState(own.url)
  await using plane = await startPlane(shared)
  const api = new Api(plane.url)
  await api.register('w', {features})
  const codebase = await api.codebase('w', '/srv/app')
  await using stream = await openStream(api, 'w')
  own.process.kill('SIGSTOP')
  const waiting = api.get('tasks')
  own.process.kill('SIGCONT')
  expect((await waiting).status).toBe(200)
  await own.stop()
  await until(async () => (await api.get('tasks')).status === 503)
  const refused = await api.get('tasks')
  expect(refused.headers.get('retry-after')).toBe('1')
  expect((await api.get('health')).body).toMatchObject({status: 'degraded', problem: expect.stringContaining('Redis')})
  expect(stream.isEnded).toBe(false)

  // this Redis keeps nothing, so it gets all from the control plane
  await own.start()
  await until(async () => (await api.get('tasks')).status === 200)
  const task = await api.create(codebase)
  await stream.pushed(task.id)
  await using second = await startPlane(shared)
  expect((await new Api(second.url).get('codebases')).body).toEqual((await api.get('codebases')).body)
  expect(plane.log).toEqual([
    expect.stringContaining('Redis is out of reach'),
    'Redis is back',
    expect.stringMatching(/^Redis had lost its last \d+ commits/),
  ])
})

test('tasks that are created at both replicas at once are all created, each with a number of its own', async () => {
  for (let round = 0; round < 8; round++) {
    await using two = await pair()
    const {apiA, apiB} = two
    await apiA.register('w', {features})
    const codebase = await apiA.codebase('w', '/srv/app')
    const made = await Promise.all(
      Array.from({length: 12}, async (_, n) => (await (n % 2 === 0 ? apiA : apiB).create(codebase)).id),
    )
    expect(new Set(made).size).toBe(12)
    const listed = (await apiA.get('tasks', {}, {query: {order: 'oldest', limit: 100}})).body
    expect(new Set(listed.map(({id}: {id: string}) => id))).toEqual(new Set(made))
    expect(two.a.log.filter((line) => line.startsWith('database'))).toEqual([])
  }
})

test('a new replica shows the same monitoring log and statistics, from an image or from the log, and so does a restarted one', async () => {
  for (const images of [{entries: 10, kept: 30, checkMs: 20}, {}]) {
    const prefix = `{monitor-${(count += 1)}}:`
    const logged: string[] = []
    const log = (line: string) => void logged.push(line)
    const start = (more = {}) => startPlane({...sharedState(redis.url, prefix, {images}), ...more})
    const a = await start()
    const api = new Api(a.url)
    await api.registerOwn('w')
    const codebase = await api.codebase('w', '/srv/app')
    for (let n = 0; n < 12; n++) {
      const {id} = await api.create(codebase)
      await api.claim(id, 'w')
      await api.output(id, 'w', `line ${n} {"type":"tool_use"}`)
      await api.report(id, 'w', n % 3 === 0 ? 'failed' : 'completed', {attempt: 1})
    }
    await api.post('monitorIntervene', {}, {agent_id: 'w', message: 'hello'})
    if (images.entries !== undefined) await until(() => hasImage(prefix))

    const shown = async (plane: {url: string}) => {
      const one = new Api(plane.url)
      const lists = ['monitorMessages', 'monitorStats', 'monitorAgents', 'monitorExportJson'] as const
      return await Promise.all(lists.map(async (list) => (await one.get(list)).body))
    }
    const b = await start({log})
    const [messages, stats] = await shown(a)
    expect(messages).toHaveLength(1 + 12 * 4)
    expect(stats).toMatchObject({total_messages: 49, tool_calls: 12, errors: 4, interventions: 1})
    expect(await shown(b)).toEqual(await shown(a))
    expect(logged.filter((line) => line.startsWith('Task'))).toEqual([]) // what is past is no news
    await new Api(b.url).create(codebase)
    expect(await shown(b)).toEqual(await shown(a))
    const before = await shown(a)
    await Promise.all([a.close(), b.close()])
    await using again = await start()
    expect(await shown(again)).toEqual(before)
  }
})

async function hasImage(prefix: string): Promise<boolean> {
  await using client = disposable(new Redis(redis.url))
  return Number(await client.hget(`${prefix}image`, 'position')) > 20
}

test('the log is replaced by an image, with which a new replica begins', async () => {
  const prefix = `{image-${(count += 1)}}:`
  const images = {entries: 40, kept: 5, checkMs: 20}
  const start = () => startPlane(sharedState(redis.url, prefix, {images}))
  await using first = await start()
  await using client = disposable(new Redis(redis.url))
  const api = new Api(first.url)
  await api.register('w', {features})
  const codebase = await api.codebase('w', '/srv/app')
  await using stream = await openStream(api, 'w')
  const held = await api.create(codebase)
  await stream.pushed(held.id)
  for (let n = 0; n < 60; n++) await api.create(codebase, {title: `waiting ${n}`, prompt: 'Zeile\n'.repeat(n + 1)})
  await until(async () => (await client.xlen(`${prefix}log`)) < 50 && (await client.exists(`${prefix}image`)) === 1)
  const position = Number(await client.hget(`${prefix}image`, 'position'))
  expect(position).toBeGreaterThan(40)

  await using second = await start()
  const other = new Api(second.url)
  for (const route of ['tasks', 'workers', 'codebases', 'connected', 'audit'] as const) {
    const [one, two] = [await api.get(route), await other.get(route)]
    expect({...two.body, timestamp: 0}, route).toEqual({...one.body, timestamp: 0})
  }

  // what is in memory only was in the image too: the assignment can be confirmed
  const confirmed = await other.post('claim', {}, {task_id: held.id, attempt: 1}, {headers: {'x-worker-id': 'w'}})
  expect(confirmed).toMatchObject({status: 200, body: {message: 'Assignment confirmed'}})
  await other.create(codebase, {title: 'after'})
  expect((await api.get('tasks', {}, {query: {order: 'newest', limit: 1}})).body[0].title).toBe('after')
})

test('what a Redis has lost in a crash it gets back from a control plane that lives', async () => {
  await using folder = await scratch()
  await using own = await startRedis({saves: {folder: folder.path, appendfsync: 'everysec'}})
  const shared = sharedState(own.url)
  await using plane = await startPlane(shared)
  const api = new Api(plane.url)
  await api.register('w', {features})
  const codebase = await api.codebase('w', '/srv/app')
  const ids: string[] = []
  for (let n = 0; n < 30; n++) ids.push((await api.create(codebase)).id)
  await own.stop()
  const place = join(folder.path, 'appendonlydir')
  const file = join(place, readdirSync(place).find((name) => name.endsWith('.incr.aof')) ?? '')
  const open = openSync(file, 'r+')
  ftruncateSync(open, statSync(file).size - 20_000) // some of the last commits
  closeSync(open)
  await own.start()
  const listed = async (url: string) => {
    const {body} = await new Api(url).get('tasks', {}, {query: {order: 'oldest', limit: 100}})
    return body.map(({id}: {id: string}) => id)
  }
  await until(async () => (await api.get('tasks')).status === 200)
  expect(await listed(plane.url)).toEqual(ids)
  await using second = await startPlane(shared)
  expect(await listed(second.url)).toEqual(ids)
  expect(plane.log.at(-1)).toMatch(/^Redis had lost its last \d+ commits/)
})

test('after an absence of Redis nothing expires before workers could renew their leases', async () => {
  await using folder = await scratch()
  await using own = await startRedis({saves: {folder: folder.path, appendfsync: 'always'}})
  const leaseMs = 1500
  await using plane = await startPlane({...sharedState(own.url), timings: {leaseMs}})
  const api = new Api(plane.url)
  await api.register('w', {features})
  const task = await api.create(await api.codebase('w', '/srv/app'))
  await using stream = await openStream(api, 'w')
  await stream.pushed(task.id)
  const claim = {task_id: task.id, attempt: 1}
  expect((await api.post('claim', {}, claim, {headers: {'x-worker-id': 'w'}})).status).toBe(200)
  await own.stop()
  await new Promise((resolve) => setTimeout(resolve, leaseMs + 500)) // the lease ends meanwhile
  await own.start()
  await until(async () => (await api.get('tasks')).status === 200)
  expect((await api.task(task.id)).lost_since).toBeNull()
  const beat = () => api.post('heartbeat', {worker: 'w'}, {running: [{id: task.id, attempt: 1}], free: 1})
  const end = performance.now() + leaseMs * 2
  while (performance.now() < end) {
    expect((await beat()).status).toBe(200)
    expect((await api.task(task.id)).lost_since).toBeNull()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }

  await until(async () => (await api.task(task.id)).lost_since) // the worker falls silent
})

const disposable = (client: Redis) =>
  Object.assign(client, {
    [Symbol.asyncDispose]: async () => {
      client.disconnect()
    },
  })
