import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {Redis} from 'ioredis'
import {startRedis, type RedisServer} from './redis.ts'
import {until} from './scratch.ts'

type Group = AsyncDisposable & {url: string; redis: RedisServer[]}

/** A folder for the files that redis-server writes itself. */
function ownFolder() {
  const path = mkdtempSync(join(tmpdir(), 'a2a-redis-'))
  return {path, remove: () => rmSync(path, {recursive: true, force: true})}
}

/** A replica saves what it gets from its master, and a Redis begins with what was saved in its folder. */
const filesIn = (folder: string, n: number) => ['--dir', folder, '--dbfilename', `dump-${n}.rdb`]

async function ask<T>(port: number, work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(port, '127.0.0.1')
  try {
    return await work(redis)
  } finally {
    redis.disconnect()
  }
}

const lastSlot = 16_383

/** A real Redis Cluster, whose masters divide the slots among them. `replicasOf`: which of them have a replica. */
export async function startCluster(masters = 1, {replicasOf = []}: {replicasOf?: number[]} = {}): Promise<Group> {
  const folder = ownFolder()
  const redis: RedisServer[] = []
  for (let n = 0; n < masters + replicasOf.length; n++) {
    const own = ['--cluster-enabled', 'yes', ...filesIn(folder.path, n), '--cluster-config-file', `nodes-${n}.conf`]
    redis.push(await startRedis({more: [...own, '--cluster-node-timeout', '1500']}))
  }
  const portOf = (n: number) => redis[n]?.port ?? 0
  for (const {port} of redis.slice(1)) await ask(port, (node) => node.cluster('MEET', '127.0.0.1', portOf(0)))
  const width = Math.ceil((lastSlot + 1) / masters)
  for (let n = 0; n < masters; n++)
    await ask(portOf(n), (node) =>
      node.call('CLUSTER', 'ADDSLOTSRANGE', n * width, Math.min((n + 1) * width - 1, lastSlot)),
    )
  for (const {port} of redis)
    await until(
      () =>
        ask(
          port,
          async (node) =>
            String(await node.cluster('NODES'))
              .trim()
              .split('\n').length === redis.length,
        ),
      'the nodes to meet',
    )
  for (const [i, master] of replicasOf.entries()) {
    const id = String(await ask(portOf(master), (node) => node.cluster('MYID')))
    await ask(portOf(masters + i), (node) => node.cluster('REPLICATE', id))
    await until(
      () => ask(portOf(masters + i), async (node) => (await node.info('replication')).includes('link_status:up')),
      'the replica to follow',
    )
  }
  for (const {port} of redis)
    await until(
      () => ask(port, async (node) => String(await node.cluster('INFO')).includes('cluster_state:ok')),
      'the Cluster to be ready',
    )
  return {
    url: `redis+cluster://${redis.map(({port}) => `127.0.0.1:${port}`).join(',')}`,
    redis,
    async [Symbol.asyncDispose]() {
      await Promise.all(redis.map((one) => one.stop()))
      folder.remove()
    },
  }
}

/** A real master with a replica, both of which a real Sentinel watches as `main`. */
export async function startSentinel({password = ''} = {}): Promise<
  Group & {sentinel: RedisServer; failover(): Promise<void>; master(): Promise<number>}
> {
  const login = password === '' ? {} : {password}
  const masterLogin = password === '' ? [] : ['--masterauth', password]
  const folder = ownFolder()
  const options = (n: number) => ({...login, more: [...filesIn(folder.path, n), ...masterLogin]})
  const first = await startRedis(options(0))
  const second = await startRedis({
    ...login,
    more: [...options(1).more, '--replicaof', `127.0.0.1 ${first.port}`],
  })
  const file = join(folder.path, 'sentinel.conf')
  const lines = [
    `sentinel monitor main 127.0.0.1 ${first.port} 1`,
    'sentinel down-after-milliseconds main 1000',
    'sentinel failover-timeout main 2000',
    ...(password === '' ? [] : [`sentinel auth-pass main ${password}`]),
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  const sentinel = await startRedis({sentinelFile: file})
  const watch = <T>(work: (redis: Redis) => Promise<T>) => ask(sentinel.port, work)
  const master = () =>
    watch(async (redis) => Number(((await redis.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main')) as string[])[1]))
  await until(async () => {
    const replicas = (await watch((redis) => redis.call('SENTINEL', 'REPLICAS', 'main'))) as string[][]
    return replicas.length === 1 && replicas[0]?.join(' ').includes('master-link-status ok') === true
  }, 'the Sentinel to find the replica')
  return {
    url: `redis+sentinel://${password === '' ? '' : `:${password}@`}127.0.0.1:${sentinel.port}/main`,
    redis: [first, second],
    sentinel,
    master,
    async failover() {
      const former = await master()
      await watch((redis) => redis.call('SENTINEL', 'FAILOVER', 'main'))
      await until(async () => (await master()) !== former, 'the failover')
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([sentinel, first, second].map((one) => one.stop()))
      folder.remove()
    },
  }
}
