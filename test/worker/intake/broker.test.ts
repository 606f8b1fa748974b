import {once} from 'node:events'
import {readFileSync} from 'node:fs'
import {createConnection, createServer, type AddressInfo, type Socket} from 'node:net'
import {join} from 'node:path'
import {Redis} from 'ioredis'
import {expect, test} from 'vitest'
import {listenToBroker} from '../../../src/lib/client/task-broker.ts'
import {announcedBroker} from '../../../src/lib/worker/intake/announced-broker.ts'
import {answering} from '../../support/agent-lines.ts'
import {startFleet} from '../../support/fleet.ts'
import {startProxy} from '../../support/proxy.ts'
import {startRedis} from '../../support/redis.ts'
import {repository, scratchFolder, until} from '../../support/scratch.ts'
import {startPlane} from '../../support/plane.ts'
import {startInProcessWorker, type InProcessWorker} from '../../support/in-process-worker.ts'
import {root} from '../../support/cli.ts'
import {openWorkshop, says} from '../../support/workshop.ts'

const stream = /^\/v1\/worker\/tasks\/stream/

const brokerChanges = ({events}: InProcessWorker) =>
  events.flatMap((event) => (event.type === 'broker.changed' ? [event.isUp] : []))

/** A worker without a stream that polls once an hour, and a control plane that announces tasks on this Redis. */
async function cutOff(
  redisUrl: string,
  settings: Record<string, unknown> = {redis_url: redisUrl},
  announced: string = redisUrl,
) {
  const scratch = scratchFolder()
  const planeLog: string[] = []
  const log = (line: string) => void planeLog.push(line)
  const plane = await startPlane({brokerUrl: redisUrl, brokerPublicUrl: announced, log})
  const proxy = await startProxy(plane.url)
  let polls = 0
  proxy.rule = (path) => {
    if (path.startsWith('/v1/opencode/tasks?')) polls += 1
    return stream.test(path) ? 'refuse' : 'pass'
  }
  const path = repository(join(scratch.path, 'p'))
  const worker = await startInProcessWorker(proxy.url, [path], {
    factor: 1,
    settings: {poll_interval: '3600', ...settings},
  })
  const codebase = await until(async () => {
    const all = (await plane.call('GET', '/v1/opencode/codebases')).body as {id: string}[]
    return all[0]?.id
  }, 'the codebase')
  return {
    plane,
    planeLog,
    polls: () => polls,
    worker,
    run: async () => {
      const {id} = await plane.task(codebase, {prompt: answering('done')})
      await until(async () => (await plane.get(id)).status === 'completed', `the task to be run: ${worker.log()}`)
    },
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]()
      await proxy[Symbol.asyncDispose]()
      await plane.close()
      scratch[Symbol.dispose]()
    },
  }
}

test('an announcement on the broker starts a task without a stream, long before the next poll', async () => {
  await using redis = await startRedis()
  await using shop = await cutOff(redis.url)
  await until(() => shop.worker.running.intake.connection === 'broker', 'the broker')
  await shop.run()
  await shop.run()
  expect(brokerChanges(shop.worker)).toEqual([true])
})

test('a worker without a configured broker listens to the one that its server announces', async () => {
  await using redis = await startRedis()
  await using shop = await cutOff(redis.url, {})
  await until(() => shop.worker.running.intake.connection === 'broker', 'the broker')
  await shop.run()
})

test('an announcement has the ids of its task, and neither prompt nor title', async () => {
  await using redis = await startRedis()
  const heard: string[] = []
  const listener = new Redis(redis.url)
  listener.on('pmessage', (_pattern, _channel, text: string) => heard.push(text))
  await listener.psubscribe('*')
  await using shop = await cutOff(redis.url)
  await until(() => shop.planeLog.some((line) => line.startsWith('Broker connected')), 'the broker')
  const codebase = await shop.plane.codebase('other', '/srv/other')
  const {id} = await shop.plane.task(codebase, {
    title: 'hidden-title',
    prompt: 'hidden-prompt',
    metadata: {a: 'hidden-too'},
  })
  await shop.plane.call('POST', `/v1/opencode/tasks/${id}/cancel`)
  await until(() => heard.length >= 5, 'the announcements')
  for (const text of heard) {
    expect(text).not.toContain('hidden')
    expect(JSON.parse(text).data).toEqual({id, task_id: id, codebase_id: codebase, attempt: expect.any(Number)})
  }
  listener.disconnect()
})

test('a whole task on the broker, as another server may send it, wakes the worker as well', async () => {
  await using redis = await startRedis()
  await using shop = await cutOff(redis.url, {redis_url: redis.url}, undefined)
  await until(() => shop.worker.running.intake.connection === 'broker', 'the broker')
  const [codebase] = (await shop.plane.call('GET', '/v1/opencode/codebases')).body as {id: string}[]
  const publisher = new Redis(redis.url)
  const data = {
    id: 'of-another-server',
    codebase_id: codebase?.id,
    title: 't',
    prompt: 'p',
    metadata: {},
    status: 'pending',
  }
  const polls = shop.polls()
  await publisher.publish('events:task_available', JSON.stringify({type: 'task_available', data}))
  await until(() => shop.polls() > polls, 'a poll')
  publisher.disconnect()
})

test("a server's Redis is followed to the server's own host, or to one that redis_hosts allows; otherwise one line says so", async () => {
  const follow = (url: string | null, server: string, allowed: string[] = []) => announcedBroker(url, server, allowed)
  const elsewhere = 'redis://redis.example:6379'
  expect(follow('redis://plane.example', 'https://Plane.example:8443/a')).toEqual({url: 'redis://plane.example'})
  expect(follow('redis://[::1]:6379', 'http://127.0.0.1:7420')).toEqual({url: 'redis://[::1]:6379'})
  expect(follow(elsewhere, 'https://plane.example', ['Redis.example'])).toEqual({url: elsewhere})
  expect(follow('redis://10.0.0.1', 'https://plane.example')).toEqual({
    refused: expect.stringContaining('add 10.0.0.1 to redis_hosts'),
  })
  expect(follow('redis+sentinel://plane.example/main', 'https://plane.example')).toEqual({
    refused: expect.stringContaining('names Sentinels or a Cluster, which may lead anywhere'),
  })
  expect([null, 'nonsense', 'http://plane.example'].map((url) => follow(url, 'https://plane.example'))).toEqual(
    Array(3).fill(undefined),
  )

  await using redis = await startRedis()
  await using shop = await cutOff(redis.url, {}, 'redis://user:secret-of-redis@10.0.0.1:6379')
  const lines = () => shop.worker.log().match(/redis_hosts/g)?.length ?? 0
  await until(() => lines() > 0, 'the line')
  expect(lines()).toBe(1)
  expect(shop.worker.log()).not.toContain('secret-of-redis')
  expect(brokerChanges(shop.worker)).toEqual([])
})

test('a broker that is killed and restarted is subscribed to again, with one log line per change', async () => {
  await using redis = await startRedis()
  await using shop = await cutOff(redis.url)
  await until(() => shop.worker.running.intake.connection === 'broker', 'the broker')
  await redis.stop()
  await until(() => brokerChanges(shop.worker).length === 2, 'the loss to be noticed')
  expect(shop.worker.running.intake.connection).toBe('poll')
  await redis.start()
  await until(() => shop.worker.running.intake.connection === 'broker', 'the broker to be back')
  await until(async () => (await shop.plane.call('GET', '/health')).status === 200, 'the control plane')
  await shop.run()
  expect(brokerChanges(shop.worker)).toEqual([true, false, true])
})

test('a broker that is down at the start is found later', async () => {
  await using redis = await startRedis()
  await redis.stop()
  await using shop = await cutOff(redis.url)
  await until(() => brokerChanges(shop.worker).length === 1, 'the absence to be logged')
  await redis.start()
  await until(() => shop.worker.running.intake.connection === 'broker', 'the broker')
  await shop.run()
  expect(brokerChanges(shop.worker)).toEqual([false, true])
})

test('a broker that refuses the password is logged once, with the reason and without the password', async () => {
  await using redis = await startRedis({password: 'right-one'})
  await using shop = await cutOff(`redis://:wrong-one@127.0.0.1:${redis.port}`)
  await until(() => brokerChanges(shop.worker).length === 1, 'the refusal')
  await until(() => /WRONGPASS/.test(shop.worker.log()), 'the reason')
  expect(shop.worker.log()).not.toContain('wrong-one')
  await new Promise((resolve) => setTimeout(resolve, 1000)) // time for further retries, which must not be logged
  expect(brokerChanges(shop.worker)).toEqual([false])
})

test('a half-open broker connection is closed and opened again', async () => {
  await using redis = await startRedis()
  const sockets: Socket[] = []
  let isSilent = false
  const between = createServer((client) => {
    const onward = createConnection(redis.port, '127.0.0.1')
    sockets.push(client, onward)
    client.on('data', (chunk) => isSilent || onward.write(chunk))
    onward.on('data', (chunk) => isSilent || client.write(chunk))
    for (const [one, other] of [[client, onward] as const, [onward, client] as const])
      one.on('close', () => other.destroy()).on('error', () => other.destroy())
  })
  between.listen(0, '127.0.0.1')
  await once(between, 'listening')
  const changes: string[] = []
  const stop = new AbortController()
  const listening = listenToBroker({
    url: `redis://127.0.0.1:${(between.address() as AddressInfo).port}`,
    signal: stop.signal,
    onNotice: () => {},
    onState: (isUp, reason) => changes.push(isUp ? 'up' : reason),
    pingMs: 100,
    answerMs: 200,
  })
  await until(() => changes.length === 1, 'the subscription')
  isSilent = true
  await until(() => changes.length === 2, 'the silence to be noticed')
  isSilent = false
  await until(() => changes.length === 3, 'the new subscription')
  expect(changes).toEqual(['up', 'it does not answer', 'up'])
  stop.abort()
  await listening
  for (const socket of sockets) socket.destroy()
  between.close()
})

test('a cancellation announced on the broker reaches a worker without a stream at once', async () => {
  await using redis = await startRedis()
  await using shop = await cutOff(redis.url)
  await until(() => shop.worker.running.intake.connection === 'broker', 'the broker')
  const [codebase] = (await shop.plane.call('GET', '/v1/opencode/codebases')).body as {id: string}[]
  const {id} = await shop.plane.task(codebase?.id ?? '', {prompt: 'exec sleep 600'})
  await until(() => shop.worker.running.runner.active.some(({phase}) => phase === 'running'), 'the run')
  const asked = performance.now()
  await shop.plane.call('POST', `/v1/opencode/tasks/${id}/cancel`)
  await until(async () => (await shop.plane.get(id)).status === 'cancelled', 'the end')
  expect(performance.now() - asked).toBeLessThan(8000) // without the announcement, the next check would come after 10 s
})

test('start listens to --redis-url, and refuses an invalid URL: exit 78', async () => {
  await using redis = await startRedis()
  await using fleet = await startFleet()
  const path = repository(join(fleet.path, 'p'))
  const worker = await fleet.worker('w', [path], ['--redis-url', redis.url])
  await says(worker, 'Broker connected')
  const refused = await fleet.cli(['start', '--codebase', path, '--redis-url', 'http://127.0.0.1:1'])
  expect(refused).toMatchObject({
    code: 78,
    stderr: expect.stringMatching(/redis_url \(--redis-url\): must be an address/),
  })
  const serve = await fleet.run(['serve', '--port', '0', '--redis-url', 'nonsense'], {})
  expect(serve).toMatchObject({code: 78, stderr: expect.stringMatching(/must be an address like redis/)})
})

/** The Redis user for workers, as the page of the control plane creates it. */
async function addWorkerUser(url: string, password: string): Promise<void> {
  const page = readFileSync(join(root, 'docs/control-plane.md'), 'utf8')
  const line = /^redis-cli (ACL SETUSER .*)$/m.exec(page)?.[1] ?? ''
  const [command = '', ...args] = line.replaceAll("'", '').replace('PASSWORD', password).split(' ')
  const admin = new Redis(url)
  expect(await admin.call(command, ...args)).toBe('OK')
  admin.disconnect()
}

test('the Redis user of the documentation wakes workers, and may do nothing but subscribe', async () => {
  await using redis = await startRedis({password: 'admin-one'})
  await addWorkerUser(redis.url, 'worker-one')
  const announced = `redis://a2a-worker:worker-one@127.0.0.1:${redis.port}`
  await using shop = await cutOff(redis.url, {}, announced)
  await until(() => shop.worker.running.intake.connection === 'broker', 'the broker')
  await shop.run()
  const user = new Redis(announced, {enableReadyCheck: false})
  const forbidden = [
    ['publish', 'events:task_available', '{}'],
    ['set', 'key', 'value'],
    ['get', 'key'],
    ['keys', '*'],
    ['config', 'get', '*'],
    ['acl', 'list'],
    ['subscribe', 'other'],
    ['psubscribe', '*'],
  ]
  for (const [command = '', ...args] of forbidden)
    await expect(user.call(command, ...args), command).rejects.toThrow(/NOPERM/)
  user.disconnect()
  await using workshop = openWorkshop()
  const doctor = await workshop.cli(['doctor', '--server', shop.plane.url, '--redis-url', announced])
  expect(doctor.stdout).toContain('✓ broker: Redis answers')
  expect(doctor.stderr).toBe('')
})

test("the server's own Redis address is never announced, and an announced one with the same login is warned of", async () => {
  await using redis = await startRedis({password: 'admin-one'})
  await using plane = await startPlane({brokerUrl: redis.url})
  const answer = await plane.call('POST', '/v1/opencode/workers/register', {worker_id: 'w', name: 'w'})
  expect(answer).toMatchObject({status: 200})
  expect(JSON.stringify(answer.body)).not.toMatch(/redis/)
  await using workshop = openWorkshop()
  const urls = ['--redis-url', redis.url, '--redis-public-url', redis.url]
  const serve = workshop.start(['serve', '--port', '0', ...urls])
  await says(serve, /WARN +--redis-public-url has the login of --redis-url/)
  expect(serve.stderr()).not.toContain('admin-one')
})

test('a clean stop of worker and control plane logs no lost broker', async () => {
  await using redis = await startRedis()
  const shop = await cutOff(redis.url)
  await until(() => shop.worker.running.intake.connection === 'broker', 'the broker')
  await shop.run()
  await shop[Symbol.asyncDispose]()
  expect(brokerChanges(shop.worker)).toEqual([true])
  expect(shop.worker.log()).not.toMatch(/out of reach|Broker lost/)
  expect(shop.planeLog.filter((line) => line.startsWith('Broker'))).toEqual([
    'Broker connected: tasks are announced on it',
  ])
})
