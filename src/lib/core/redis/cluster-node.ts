import type {Redis, RedisOptions} from 'ioredis'
import {messageOf} from '../errors.ts'
import type {RedisNode} from './redis-address.ts'

/** Replies have the shapes that ioredis has by default. */
export type ConnectOptions = Omit<RedisOptions, 'replyMapping'>

export type ClusterSearch = {
  /** Nodes to ask, the best first. What they tell of others is added. */
  nodes: RedisNode[]
  /** Login and TLS. */
  options: ConnectOptions
  /** A key that the wanted node has. Without one, any master will do. */
  key: string | undefined
}

const answerMs = 2000

/** Finds the master that has a key. Rejects if no node tells. */
export async function findClusterNode({nodes, options, key = ''}: ClusterSearch): Promise<RedisNode> {
  const {Redis} = await import('ioredis')
  let failure: unknown = new Error('no node of the Cluster is known')
  for (const node of [...nodes]) {
    const redis = new Redis({
      ...options,
      ...node,
      ...{lazyConnect: true, enableReadyCheck: false, retryStrategy: null, maxRetriesPerRequest: 0},
      ...{connectTimeout: answerMs, commandTimeout: answerMs},
    })
    let reason: unknown
    redis.on('error', (error) => (reason = error))
    try {
      await redis.connect()
      const {master, others} = await askNode(redis, node, key)
      for (const other of others) if (!nodes.some((known) => isSame(known, other))) nodes.push(other)
      return master
    } catch (error) {
      failure = reason ?? error
      nodes.push(...nodes.splice(nodes.indexOf(node), 1)) // it is asked last from now on
      if (/cluster support disabled|NOAUTH|WRONGPASS|NOPERM/i.test(messageOf(error))) throw error
    } finally {
      redis.disconnect()
    }
  }

  throw failure
}

async function askNode(redis: Redis, asked: RedisNode, key: string): Promise<{master: RedisNode; others: RedisNode[]}> {
  const slot = await redis.cluster('KEYSLOT', key)
  const ranges = (await redis.cluster('SLOTS')) as unknown as Range[]
  const nodeOf = ([host, port]: Place) => ({host: host || asked.host, port})
  const others = ranges.flatMap(([, , ...nodes]) => nodes.map((node) => nodeOf(node)))
  const range = ranges.find(([first, last]) => first <= slot && slot <= last)
  if (!range) throw new Error(`no node of the Cluster serves slot ${slot}`)
  return {master: nodeOf(range[2]), others}
}

/** Whether a Redis is a node of a Cluster. False if this user may not ask. */
export async function isClusterNode(redis: Redis): Promise<boolean> {
  const info = await redis.info('cluster').catch(() => '')
  return /^cluster_enabled:1/m.test(info)
}

const isSame = (a: RedisNode, b: RedisNode) => a.host === b.host && a.port === b.port

/** The host is null or empty if the node does not know it. */
type Place = [host: string | null, port: number]
/** Slots, the master that has them, and its replicas. */
type Range = [first: number, last: number, master: Place, ...replicas: Place[]]
