import type {Redis} from 'ioredis'
import {configError} from '../../core/errors.ts'

/** Which program keeps its state under a prefix. */
export type Owner = {
  /** Number of the last migration of the database. */
  schema: number
  /** Of the program. */
  version: string
}

const format = '1'

/** What is under a prefix: nothing, or the state of this or of an older version, which does not run. */
export type Found = 'empty' | 'same' | 'older'

/** Checks that the keys under a prefix are ours, and of this version. Throws ExpectedError (78). Writes nothing. */
export async function checkOwner(redis: Redis, prefix: string, {schema, version}: Owner, at: string): Promise<Found> {
  const key = `${prefix}owner`
  let type = await redis.type(key)
  if (type === 'none') {
    // An image without an owner is what an import has left that was interrupted. A mirror needs no state in Redis.
    const isOurs = (found: string) => found.startsWith(`${prefix}image`) || found === `${prefix}mirror`
    const other = (await findKeys(redis, prefix)).find((found) => !isOurs(found))
    if (other === undefined) return 'empty'
    type = await redis.type(key) // another replica may have begun meanwhile
    if (type === 'none') throw somebodyElses(other, prefix, at)
  }

  if (type !== 'hash') throw somebodyElses(key, prefix, at)
  const [theirFormat, theirSchema, theirVersion] = await redis.hmget(key, 'format', 'schema', 'version')
  if (theirFormat === null || theirSchema === null) throw somebodyElses(key, prefix, at)
  if (theirFormat === format && Number(theirSchema) === schema) return 'same'
  const running = await runningReplicas(redis, prefix)
  if (theirFormat === format && Number(theirSchema) < schema && running.length === 0) return 'older'
  throw configError(
    `The state under ${prefix} in the Redis at ${at} was written by a2a-worker ${theirVersion} (schema ${theirSchema}), and this is ${version} (schema ${schema}).`,
    Number(theirSchema) < schema
      ? `Stop the replicas that run the older version first: ${running.join(', ')}. The first new one then takes the state over.`
      : 'Update a2a-worker, or choose another prefix with --redis-prefix.',
  )
}

/** The state belongs to this version from now on. */
export async function own(redis: Redis, prefix: string, {schema, version}: Owner): Promise<void> {
  await redis.hset(`${prefix}owner`, {format, schema, version})
}

/** A replica that has not shown itself for this long has ended, in ms. */
const goneMs = 10_000

/** What a replica says of itself: its id, a space, and a text for people. One key has all, by the time in Unix ms. */
const replicasKey = (prefix: string) => `${prefix}replicas`

/** Shows that a replica runs, and resolves with the ids of all that run. `now`: on the clock of Redis, in Unix ms. */
export async function showReplica(redis: Redis, prefix: string, who: string, now: number): Promise<string[]> {
  const key = replicasKey(prefix)
  await redis.zadd(key, now, who)
  await redis.zremrangebyscore(key, '-inf', String(now - goneMs))
  return (await redis.zrange(key, '0', '-1')).map((text) => text.split(' ')[0] ?? '')
}

/** Shows that a replica has ended. */
export async function hideReplica(redis: Redis, prefix: string, who: string): Promise<void> {
  await redis.zrem(replicasKey(prefix), who)
}

/** What the running replicas say of themselves, for people. */
async function runningReplicas(redis: Redis, prefix: string): Promise<string[]> {
  const [seconds] = await redis.time()
  const running = await redis.zrangebyscore(replicasKey(prefix), Number(seconds) * 1000 - goneMs, '+inf')
  return running.map((text) => text.slice(text.indexOf(' ') + 1))
}

const somebodyElses = (key: string, prefix: string, at: string) =>
  configError(
    `The key ${key} in the Redis at ${at} does not belong to a2a-worker, so nothing was written.`,
    `Choose another prefix than ${prefix} with --redis-prefix, or another database.`,
  )

/** Keys that begin with this. */
async function findKeys(redis: Redis, beginning: string): Promise<string[]> {
  const pattern = `${beginning.replaceAll(/[[\]*?\\]/g, String.raw`\$&`)}*`
  const found: string[] = []
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', 1000)
    found.push(...keys)
    cursor = next
  } while (cursor !== '0')
  return found
}
