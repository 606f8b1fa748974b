import {isLoopback} from '../../core/loopback.ts'
import {readRedisUrl, redisUrlProblem} from '../../core/redis/redis-address.ts'

/** What to do with the Redis URL that a control plane announces: use it, or say why not. */
export type AnnouncedBroker = {url?: string; refused?: string} | undefined

/**
 * A control plane could name any address of the worker's network. So its URL is followed only to its own host, or to a
 * host of the setting `redis_hosts`. Sentinels and nodes of a Cluster lead to further addresses, so these are not followed. A malformed URL is ignored: polling replaces the broker.
 */
export function announcedBroker(url: string | null, server: string, allowed: readonly string[]): AnnouncedBroker {
  if (url === null || redisUrlProblem(url) !== undefined) return undefined
  if (readRedisUrl(url).kind !== 'server')
    return {
      refused:
        'The control plane names Sentinels or a Cluster, which may lead anywhere. To use that Redis, set redis_url. Without it tasks arrive by stream and polling',
    }
  const [host, own] = [hostOf(url), hostOf(server)]
  const isOwn = host === own || (isLoopback(host) && isLoopback(own))
  if (isOwn || allowed.some((one) => one.toLowerCase() === host)) return {url}
  return {
    refused: `The control plane names a Redis at ${host}, which is not its own host. To use it, add ${host} to redis_hosts. Without it tasks arrive by stream and polling`,
  }
}

const hostOf = (url: string) => new URL(url).hostname.toLowerCase().replaceAll(/[[\]]/g, '')
