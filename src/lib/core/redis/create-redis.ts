import type {Redis} from 'ioredis'
import {trustSystemStore} from '../tls.ts'
import {clusterConnector} from './cluster-connector.ts'
import type {ConnectOptions} from './cluster-node.ts'
import {readRedisUrl} from './redis-address.ts'
import {followSwitches} from './sentinel-watch.ts'

export type CreateRedisOptions = ConnectOptions & {
  /** A key that must be on the node of a Cluster. Default: any master, which is enough for announcements. */
  key?: string | undefined
}

/** Errors of a Redis that is no master any more: another one has taken over, and the connection must find it. */
const isDeposed = (error: Error) => /^(?:READONLY|MOVED|CLUSTERDOWN|UNBLOCKED) /.test(error.message)

/** How long a command may stay unanswered before the connection is made again. */
const silenceMs = 5000

/**
 * Creates a connection to one server, to the master that Sentinels name, or to the node of a Cluster that has a key. It
 * connects as `options` says. After a failover it finds the new master by itself.
 */
export async function createRedis(url: string, {key, ...options}: CreateRedisOptions): Promise<Redis> {
  const {kind, isSecure, nodes, username, password, name, sentinelPassword, db} = readRedisUrl(url)
  if (isSecure) trustSystemStore()
  const {AbstractConnector, Redis} = await import('ioredis')
  if (kind === 'server') return new Redis(url, options)
  const login = {
    ...(username === undefined ? {} : {username}),
    ...(password === undefined ? {} : {password}),
    ...(isSecure ? {tls: {}} : {}),
  }
  // a master that has vanished closes nothing: without an answer the connection is made again
  const common = {...options, ...login, reconnectOnError: isDeposed, socketTimeout: silenceMs}
  if (kind === 'cluster')
    return new Redis({...common, Connector: clusterConnector(AbstractConnector, {nodes, options: login, key})})
  const atSentinels = {
    ...(sentinelPassword === undefined ? {} : {password: sentinelPassword}),
    ...(isSecure ? {tls: {}} : {}),
  }
  const redis = new Redis({
    ...common,
    ...{sentinels: nodes, name, db, updateSentinels: true},
    ...(sentinelPassword === undefined ? {} : {sentinelPassword}),
    ...(isSecure ? {sentinelTLS: {}, enableTLSForSentinelMode: true} : {}),
    ...(options.connectTimeout === undefined ? {} : {sentinelCommandTimeout: options.connectTimeout}),
    sentinelRetryStrategy: options.retryStrategy ?? (() => null),
  })
  const {retryStrategy} = options
  if (retryStrategy)
    redis.once('ready', () =>
      followSwitches(redis, name, {Redis, sentinels: nodes, options: atSentinels, retryStrategy}),
    )
  return redis
}
