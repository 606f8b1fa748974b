import type {Redis, RedisOptions} from 'ioredis'
import {configError, ExpectedError, messageOf} from '../../core/errors.ts'
import {fullJitter} from '../../core/loop.ts'
import {isClusterNode} from '../../core/redis/cluster-node.ts'
import {createRedis} from '../../core/redis/create-redis.ts'
import {clusterUrl, readRedisUrl, redisUrlProblem, withoutLogin} from '../../core/redis/redis-address.ts'
import {tlsProblem} from '../../core/tls.ts'
import {HttpError} from '../http/http-error.ts'
import {withCommit, type CommitCommand} from './commit-script.ts'

/** The oldest Redis that has all commands (exclusive ranges of streams). */
const oldest = '6.2.0'
const retry = fullJitter(50, 1000)
/** A command that is not answered in this time has failed: Redis may be frozen. */
const commandMs = 5000
const connectMs = 5000

/**
 * Nothing is queued or sent again by ioredis: a commit that is sent twice must be recognised, and whoever waits must be
 * told at once that Redis is away.
 */
const options = {
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  connectTimeout: connectMs,
  keepAlive: 15_000,
} satisfies RedisOptions

export type Connections = {
  /** For commands that are answered at once. */
  commands: Redis & CommitCommand
  /** For waiting. */
  waiting: Redis
  /** Called when the connection is lost, and when it is back. */
  onChange: (isUp: boolean, reason: string) => void
  close(): void
}

/**
 * Connects twice, to the Redis that has the keys under a prefix. Rejects with ExpectedError: a bad address, login or
 * database, or a Redis that is too old (78); nobody answers (69).
 */
export async function connectRedis(url: string, prefix: string): Promise<Connections> {
  const problem = redisUrlProblem(url)
  if (problem) throw configError(`The address of Redis ${problem}.`, 'Correct --redis-url or A2A_REDIS_URL.')
  let isOpen = false
  // until both have connected, the first failure counts
  const own = {...options, key: prefix, retryStrategy: (times: number) => (isOpen ? retry(times) : null)}
  const commands = withCommit(await createRedis(url, {...own, commandTimeout: commandMs}))
  const waiting = await createRedis(url, own)
  const close = () => {
    commands.disconnect()
    waiting.disconnect()
  }
  let reason = ''
  for (const redis of [commands, waiting]) {
    let ofSentinel: string | undefined // says more than the error that follows it
    redis.on('sentinelError', (error) => (ofSentinel = messageOf(error)))
    redis.on('error', (error) => {
      reason = tlsProblem(error) ?? ofSentinel ?? messageOf(error)
      ofSentinel = undefined
    })
  }
  try {
    await Promise.all([commands.connect(), waiting.connect()])
    await commands.select(commands.options.db ?? 0) // ioredis would go on in the first one
    await checkVersion(commands, url)
    const isCluster = await isClusterNode(commands)
    if (isCluster) checkHashTag(prefix)
    if (isCluster && readRedisUrl(url).kind === 'server') {
      close()
      return await connectRedis(clusterUrl(url), prefix)
    }
    if (waiting.status !== 'ready') throw new Error('the connection was closed')
    isOpen = true
  } catch (error) {
    close()
    throw explain(url, error, reason)
  }

  const connections: Connections = {commands, waiting, onChange: () => {}, close}
  commands.on('ready', () => connections.onChange(true, ''))
  commands.on('close', () => connections.onChange(false, reason))
  return connections
}

async function checkVersion(redis: Redis, url: string): Promise<void> {
  const version = /^redis_version:(\S+)/m.exec(await redis.info('server'))?.[1] ?? '0'
  if (version.localeCompare(oldest, 'en', {numeric: true}) < 0)
    throw configError(`The Redis at ${withoutLogin(url)} is version ${version}.`, `It must be ${oldest} or newer.`)
}

/** A part in braces keeps all keys in one slot. */
function checkHashTag(prefix: string): void {
  if (!/^[^{]*\{[^}]+\}/.test(prefix))
    throw configError(
      `The prefix ${prefix} would spread the keys over a Redis Cluster.`,
      'Put a part of it in braces: --redis-prefix {name}:',
    )
}

function explain(url: string, error: unknown, reason: string): Error {
  if (error instanceof ExpectedError) return error
  const at = withoutLogin(url)
  const message = `${messageOf(error)} ${reason}`
  if (/NOAUTH|WRONGPASS|invalid password|invalid username/i.test(message))
    return configError(`The Redis at ${at} refuses the login.`, 'Correct user and password in A2A_REDIS_URL.')
  if (/NOPERM/.test(message))
    return configError(
      `The user of the Redis at ${at} may not do what is needed (${message.trim()}).`,
      'Give it more rights.',
    )
  if (/DB index|SELECT/i.test(message))
    return configError(`The Redis at ${at} has no such database.`, 'Correct the number at the end of A2A_REDIS_URL.')
  if (/No such master with that name|invalid reply: null/i.test(message))
    return configError(
      `The Sentinels at ${at} watch no Redis of that name.`,
      'Correct the name after the / in A2A_REDIS_URL.',
    )
  if (/cluster support disabled/i.test(message))
    return configError(`The Redis at ${at} is no Cluster.`, 'Use redis:// in A2A_REDIS_URL.')
  return new ExpectedError(`No Redis answers at ${at}: ${reason || messageOf(error)}`, {
    code: 'REDIS_UNREACHABLE',
    exit: 'unreachable',
    suggestions: ['Check that Redis runs there, and that this machine reaches it'],
    cause: error,
  })
}

/** Errors of ioredis, and of the engine: nothing was wrong but the connection. */
const isConnectionLost = (error: unknown) =>
  (error instanceof HttpError && error.status === 503) ||
  (error instanceof Error &&
    (error.name === 'MaxRetriesPerRequestError' ||
      /Connection is closed|Command timed out|Stream isn't writeable|LOADING|ECONN|EPIPE/.test(error.message)))

/** What is said of an error while a control plane starts: that Redis was lost, if that is it. */
export function lostAtStart(url: string, error: unknown): unknown {
  if (error instanceof ExpectedError || !isConnectionLost(error)) return error
  const at = withoutLogin(url)
  return new ExpectedError(`The Redis at ${at} was lost while this control plane started: ${messageOf(error)}`, {
    code: 'REDIS_UNREACHABLE',
    exit: 'unreachable',
    suggestions: ['Check that Redis runs there, and start the control plane again'],
    cause: error,
  })
}
