import {once} from 'node:events'
import {existsSync, mkdirSync, readdirSync} from 'node:fs'
import {connect, createServer, type AddressInfo, type Socket} from 'node:net'
import {join} from 'node:path'
import {Redis} from 'ioredis'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {caller} from '../support/plane.ts'
import {freePort, startRedis, type RedisServer} from '../support/redis.ts'
import {startCluster, startSentinel} from '../support/redis-groups.ts'
import {stop} from '../support/cli.ts'
import {until} from '../support/scratch.ts'
import {assertRunning, openWorkshop} from '../support/workshop.ts'

let redis: RedisServer
let locked: RedisServer
let client: Redis
beforeAll(async () => {
  ;[redis, locked] = await Promise.all([startRedis(), startRedis({password: 'secret'})])
  client = new Redis(redis.url)
})
afterAll(async () => {
  client.disconnect()
  await redis[Symbol.asyncDispose]()
  await locked[Symbol.asyncDispose]()
})

let prefixes = 0
const newPrefix = () => `{serve-${(prefixes += 1)}}:`

async function started(shop: ReturnType<typeof openWorkshop>, args: string[], env: Record<string, string> = {}) {
  const process = shop.start(['serve', '--port', '0', ...args], {env: {...shop.env, ...env}})
  const url = await until(() => process.stdout().trim() || assertRunning(process), 'the control plane to listen')
  return {process, url, ...caller(url), end: () => stop(process, 'SIGTERM')}
}

test('a bad address, login or database, or a Redis that does not answer, is one line with cause and fix', async () => {
  await using shop = openWorkshop()
  const port = await freePort()
  const cases: [url: string, code: number, text: string][] = [
    ['http://localhost:6379', 78, 'must be an address like redis://host:6379'],
    [`redis://127.0.0.1:${port}`, 69, `No Redis answers at redis://127.0.0.1:${port}: connect ECONNREFUSED`],
    [`redis://:wrong@127.0.0.1:${locked.port}`, 78, `The Redis at redis://127.0.0.1:${locked.port} refuses the login.`],
    [`redis://127.0.0.1:${locked.port}`, 78, `The Redis at redis://127.0.0.1:${locked.port} refuses the login.`],
    [`${redis.url}/99`, 78, `The Redis at ${redis.url}/99 has no such database.`],
  ]
  for (const [url, code, text] of cases) {
    const result = await shop.cli(['serve', '--port', '0'], {env: {...shop.env, A2A_REDIS_URL: url}})
    expect(result, url).toMatchObject({code, stdout: ''})
    expect(result.stderr).toContain(text)
    expect(result.stderr).not.toMatch(/wrong@|\n {4}at /)
  }
})

/** A way to Redis that breaks for good after so many requests. */
async function breakingProxy(port: number, requests: number) {
  let left = requests
  const sockets = new Set<Socket>()
  const cut = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => [client, upstream].forEach((each) => each.destroy()))
    }
    client.on('data', (bytes) => {
      if (left <= 0) return cut()
      left -= 1
      upstream.write(bytes)
    })
    upstream.pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const {port: own} = server.address() as AddressInfo
  return {url: `redis://127.0.0.1:${own}`, hasBroken: () => left <= 0, [Symbol.dispose]: cut}
}

test('a Redis that is lost at any moment of the start is one line, and no bug', async () => {
  await using shop = openWorkshop()
  let code: number | null = null
  for (let requests = 2; requests < 40; requests += 2) {
    using proxy = await breakingProxy(redis.port, requests)
    const args = ['serve', '--port', '0', '--redis-url', proxy.url, '--redis-prefix', newPrefix()]
    const process = shop.start(args)
    const isUp = await until(() => process.stdout() !== '' || process.process.exitCode !== null, 'the start or its end')
    expect(isUp).toBe(true)
    if (process.stdout() !== '') {
      await stop(process, 'SIGKILL')
      break
    }
    code = process.process.exitCode
    expect([code, process.stderr()], `lost after ${requests} requests`).toEqual([69, expect.stringMatching(/Redis/)])
    expect(process.stderr()).not.toMatch(/bug|\n {4}at /)
  }
  expect(code).toBe(69)
})

test("somebody else's keys, a newer version and a policy that evicts are refused, and nothing is written", async () => {
  await using shop = openWorkshop()
  const serve = async (prefix: string) =>
    await shop.cli(['serve', '--port', '0', '--redis-url', redis.url, '--redis-prefix', prefix], {})
  const [theirs, newer, any] = [newPrefix(), newPrefix(), newPrefix()]
  await client.set(`${theirs}cache`, 'x')
  expect(await serve(theirs)).toMatchObject({code: 78, stderr: expect.stringContaining(`The key ${theirs}cache in`)})
  expect(await client.keys(`${theirs.replace('{', '\\{')}*`)).toEqual([`${theirs}cache`])

  await client.hset(`${newer}owner`, {format: '1', schema: '999', version: '9.9.9'})
  const refused = await serve(newer)
  expect(refused).toMatchObject({code: 78, stderr: expect.stringContaining('was written by a2a-worker 9.9.9')})
  expect(await client.hgetall(`${newer}owner`)).toEqual({format: '1', schema: '999', version: '9.9.9'})

  const older = newPrefix()
  await client.hset(`${older}owner`, {format: '1', schema: '1', version: '0.0.1'})
  await client.zadd(`${older}replicas`, Date.now(), 'abc box (pid 7, 0.0.1)')
  const waits = await serve(older)
  expect(waits).toMatchObject({
    code: 78,
    stderr: expect.stringContaining('the older version first: box (pid 7, 0.0.1)'),
  })

  await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
  try {
    expect(await serve(any)).toMatchObject({
      code: 78,
      stderr: expect.stringContaining('maxmemory-policy is allkeys-lru'),
    })
    expect(await client.exists(`${any}owner`)).toBe(0)
  } finally {
    await client.config('SET', 'maxmemory-policy', 'noeviction')
  }
})

test('a default database with content is not left behind: it stays with --db, or moves with --import', async () => {
  await using shop = openWorkshop()
  const file = join(shop.env['A2A_STATE_DIR'] ?? '', 'server.db')
  const before = await started(shop, [])
  const codebase = await before.codebase('w', '/srv/app')
  const waiting = await before.task(codebase)
  const held = await before.task('global')
  expect((await before.claim('w', held.id)).status).toBe(200)
  const early = await shop.cli(['serve', '--port', '0', '--redis-url', redis.url], {})
  expect(early).toMatchObject({code: 78, stderr: expect.stringContaining('has a control plane that uses it now')})
  await before.end()

  const prefix = newPrefix()
  const shared = ['--redis-url', redis.url, '--redis-prefix', prefix]
  const refused = await shop.cli(['serve', '--port', '0', ...shared], {})
  expect(refused.code).toBe(78)
  for (const text of [`${file} has 1 worker, 1 codebase, 2 tasks`, `--import ${file}`, `--db ${file}`])
    expect(refused.stderr).toContain(text)
  const kept = await started(shop, [...shared, '--db', file])
  expect((await kept.get(waiting.id)).status).toBe('pending')
  await kept.end()

  const moved = await started(shop, [...shared, '--import', file])
  expect(moved.process.stderr()).toContain('1 worker, 1 codebase, 2 tasks of')
  expect((await moved.get(waiting.id)).status).toBe('pending')
  expect(await moved.get(held.id)).toMatchObject({status: 'running', worker_id: 'w', attempt: 1})
  expect([existsSync(file), existsSync(`${file}.imported`)]).toEqual([false, true])
  const end = {worker_id: 'w', status: 'completed', attempt: 1, result: 'done'}
  expect((await moved.call('PUT', `/v1/opencode/tasks/${held.id}/status`, end)).status).toBe(200)
  await moved.end()

  const again = await shop.cli(['serve', '--port', '0', ...shared, '--import', `${file}.imported`], {})
  const doctor = await shop.cli(['doctor'], {env: {...shop.env, A2A_REDIS_URL: redis.url, A2A_REDIS_PREFIX: prefix}})
  expect(doctor.stdout).toMatch(/redis.*appendonly no: a restart of it loses/)
  expect(again).toMatchObject({code: 78, stderr: expect.stringContaining(`The prefix ${prefix} in the Redis`)})
  expect(existsSync(`${file}.imported`)).toBe(true)
  const place = join(shop.env['A2A_STATE_DIR'] ?? '', 'replicas')
  mkdirSync(join(place, 'replica-999999999-left'))
  const next = await started(shop, shared)
  expect(readdirSync(place)).toEqual([expect.stringContaining(`replica-${next.process.process.pid}-`)])
  expect(await next.get(held.id)).toMatchObject({status: 'completed', result: 'done'})
  await next.end()
})

test('flags that do not go together are refused, and a password on the command line is warned of', async () => {
  await using shop = openWorkshop()
  mkdirSync(shop.env['A2A_STATE_DIR'] ?? '', {recursive: true})
  const alone = await shop.cli(['serve', '--port', '0', '--import', 'x.db'], {})
  expect(alone).toMatchObject({code: 2, stderr: expect.stringContaining('--import moves a database into Redis')})
  const secret = `redis://:secret@127.0.0.1:${locked.port}`
  const plane = await started(shop, ['--redis-url', secret])
  expect(plane.process.stderr()).toContain('The password of Redis is on the command line')
  await plane.end()
  const fromVariable = await started(shop, [], {A2A_REDIS_URL: secret})
  expect(fromVariable.process.stderr()).not.toContain('on the command line')
  expect(fromVariable.process.stderr()).not.toContain('secret@')
  await fromVariable.end()
})

test('serve and doctor take the addresses of a Cluster and of Sentinels, and show none of their passwords', async () => {
  await using shop = openWorkshop()
  await using cluster = await startCluster()
  await using group = await startSentinel({password: 'secret'})
  const node = `redis://127.0.0.1:${cluster.redis[0]?.port}`
  for (const url of [cluster.url, node, group.url]) {
    mkdirSync(shop.env['A2A_STATE_DIR'] ?? '', {recursive: true})
    const plane = await started(shop, [], {A2A_REDIS_URL: url})
    const doctor = await shop.cli(['doctor'], {env: {...shop.env, A2A_REDIS_URL: url}})
    expect(doctor.stdout, url).toMatch(/redis.*appendonly no: a restart of it loses/)
    if (url === group.url) {
      expect(doctor.stdout).toMatch(/redis.*a failover may lose what was acknowledged last/)
      expect(plane.process.stderr()).toContain(`redis+sentinel://127.0.0.1:${group.sentinel.port}/main`)
    }
    expect(plane.process.stderr() + doctor.stdout).not.toContain('secret')
    await plane.end()
  }

  const visible = await started(shop, ['--redis-url', group.url])
  expect(visible.process.stderr()).toContain('The password of Redis is on the command line')
  await visible.end()
})

test('--redis-mirror writes the keys of the existing server, and needs a Redis that is no Cluster', async () => {
  await using shop = openWorkshop()
  mkdirSync(shop.env['A2A_STATE_DIR'] ?? '', {recursive: true})
  const alone = await shop.cli(['serve', '--port', '0', '--redis-mirror'], {})
  expect(alone).toMatchObject({code: 2, stderr: expect.stringContaining('it needs --redis-url')})
  await using cluster = await startCluster()
  const refused = await shop.cli(['serve', '--port', '0', '--redis-mirror', '--redis-url', cluster.url], {})
  expect(refused).toMatchObject({code: 78, stdout: '', stderr: expect.stringContaining('--redis-mirror does not work')})

  const prefix = newPrefix()
  const where = ['--redis-url', redis.url, '--redis-prefix', prefix]
  const file = join(shop.env['A2A_STATE_DIR'] ?? '', 'own.db')
  const inFile = await started(shop, [...where, '--db', file, '--redis-mirror'])
  const codebase = await inFile.codebase('mirrored', '/srv/app')
  await until(() => client.exists(`a2a:opencode:codebases:${codebase}:meta`), 'the key of the codebase')
  expect(JSON.parse((await client.get('a2a:opencode:workers:mirrored')) ?? '')).toMatchObject({worker_id: 'mirrored'})
  await inFile.end()
  const inRedis = await started(shop, where, {A2A_REDIS_MIRROR: 'true'})
  await until(async () => (await client.exists(`a2a:opencode:codebases:${codebase}:meta`)) === 0, 'the key to go')
  await inRedis.end()
})
