import {isLoopback} from '../../core/loopback.ts'
import {brokerUrlProblem} from '../../protocol/broker.ts'

/** What to do with the Redis URL that a control plane announces: use it, or say why not. */
export type AnnouncedBroker = {url?: string; refused?: string} | undefined

/**
 * A control plane could name any address of the worker's network. So its URL is followed only to its own host, or to a
 * host of the setting `redis_hosts`. A malformed URL is ignored: polling replaces the broker.
 */
export function announcedBroker(url: string | null, server: string, allowed: readonly string[]): AnnouncedBroker {
  if (url === null || brokerUrlProblem(url) !== undefined) return undefined
  const [host, own] = [hostOf(url), hostOf(server)]
  const isOwn = host === own || (isLoopback(host) && isLoopback(own))
  if (isOwn || allowed.some((one) => one.toLowerCase() === host)) return {url}
  return {
    refused: `The control plane names a Redis at ${host}, which is not its own host. To use it, add ${host} to redis_hosts. Without it tasks arrive by stream and polling`,
  }
}

const hostOf = (url: string) => new URL(url).hostname.toLowerCase().replaceAll(/[[\]]/g, '')
