import type {Redis, RedisOptions} from 'ioredis'
import type {ConnectOptions} from './cluster-node.ts'
import type {RedisNode} from './redis-address.ts'

export type SentinelWatch = {
  Redis: new (options: ConnectOptions) => Redis
  sentinels: readonly RedisNode[]
  /** Login at the Sentinels, and TLS. */
  options: ConnectOptions
  retryStrategy: NonNullable<RedisOptions['retryStrategy']>
}

const channel = '+switch-master'

/**
 * Makes a connection again as soon as a Sentinel tells of another master. The former one may take writes for some seconds
 * more, and these would be lost. (The detector of ioredis prints errors of Sentinels that are down.)
 */
export function followSwitches(redis: Redis, name: string, watch: SentinelWatch): void {
  const {Redis, sentinels, options, retryStrategy} = watch
  const listeners = sentinels.map((node) => {
    const sentinel = new Redis({
      ...options,
      ...node,
      retryStrategy,
      enableReadyCheck: false,
      maxRetriesPerRequest: null,
    })
    sentinel.on('error', () => {}) // another Sentinel tells
    sentinel.on('message', (_, text) => {
      if (text.startsWith(`${name} `) && redis.status === 'ready') redis.disconnect(true)
    })
    sentinel.subscribe(channel).catch(() => {}) // it was closed
    return sentinel
  })
  redis.once('end', () => {
    for (const sentinel of listeners) sentinel.disconnect()
  })
}
