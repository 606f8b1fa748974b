import type {Redis} from 'ioredis'
import {configError, messageOf} from '../../core/errors.ts'
import {fullJitter} from '../../core/loop.ts'
import {isClusterNode} from '../../core/redis/cluster-node.ts'
import {createRedis} from '../../core/redis/create-redis.ts'
import {readRedisUrl, redisUrlProblem, withoutLogin} from '../../core/redis/redis-address.ts'
import type {Log} from '../streams/activity-lines.ts'

const retry = fullJitter(200, 10_000)

/** The key of the record of which keys of the mirror are ours. */
export const mirrorRecord = (prefix: string) => `${prefix}mirror`

/**
 * Connects to the Redis of the mirror. It may be down: then the mirror is written later. Rejects with ExpectedError (78):
 * a bad address, or a Cluster, in which the keys of the existing server would be on many nodes.
 */
export async function openMirror(url: string, log: Log): Promise<Redis> {
  const problem = redisUrlProblem(url)
  if (problem) throw configError(`The address of Redis ${problem}.`, 'Correct --redis-url or A2A_REDIS_URL.')
  const refused = configError(
    `The Redis at ${withoutLogin(url)} is a Cluster, in which --redis-mirror does not work.`,
    'Omit --redis-mirror, or use a Redis that is no Cluster.',
  )
  if (readRedisUrl(url).kind === 'cluster') throw refused
  const redis = await createRedis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 5000,
    commandTimeout: 10_000,
    keepAlive: 15_000,
    retryStrategy: (times) => retry(times),
  })
  redis.on('error', () => {}) // told below at the start, and later by whoever uses the state or announces tasks
  try {
    await redis.connect()
  } catch (error) {
    log(`The mirror is written when Redis answers (${messageOf(error)})`, 'warn')
    return redis
  }

  if (!(await isClusterNode(redis))) return redis
  redis.disconnect()
  throw refused
}
