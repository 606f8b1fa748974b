import type {Redis} from 'ioredis'
import * as v from 'valibot'
import {messageOf} from '../core/errors.ts'
import {aborted} from '../core/request-signal.ts'
import {createRedis} from '../core/redis/create-redis.ts'
import {tlsProblem} from '../core/tls.ts'
import {brokerChannels, brokerMessageSchema} from '../protocol/broker.ts'
import {parseJson} from '../protocol/parse.ts'

/** The part of an announcement that is used. The task itself is read from the control plane. */
export type BrokerNotice = {type: 'available' | 'cancelled'; taskId: string; codebaseId: string}

export type TaskBrokerOptions = {
  url: string
  signal: AbortSignal
  onNotice: (notice: BrokerNotice) => void
  /** Called at each change: subscribed, or unreachable with the reason. */
  onState: (isUp: boolean, reason: string) => void
  /** How often the connection is checked, and how long an answer may take. */
  pingMs?: number
  answerMs?: number
}

const firstRetryMs = 200
const maxRetryMs = 10_000

/**
 * Listens to announcements of a Redis broker until aborted. Redis may be unreachable, restart, refuse the password or
 * fall silent: the connection is retried with jitter and subscribed again each time.
 */
export async function listenToBroker(options: TaskBrokerOptions): Promise<void> {
  const {url, signal, onState, pingMs = 15_000, answerMs = 5000} = options
  // its own end is no news
  const state = stateChanges((isUp, why) => void (signal.aborted || onState(isUp, why)))
  const redis = await createRedis(url, {
    lazyConnect: true,
    enableReadyCheck: false, // it needs INFO, and the user may only be allowed to subscribe
    autoResubscribe: false, // done below, where a refusal is handled
    maxRetriesPerRequest: null,
    enableOfflineQueue: false,
    connectTimeout: answerMs,
    keepAlive: pingMs,
    retryStrategy: (times) => Math.round(Math.random() * Math.min(maxRetryMs, firstRetryMs * 2 ** Math.min(times, 10))),
  })
  let reason = 'connection closed'
  redis.on('error', (error) => {
    reason = tlsProblem(error) ?? messageOf(error)
    state.down(reason)
  })
  redis.on('close', () => state.down(reason))
  redis.on('message', (_, text) => deliverNotice(text, options))
  redis.on('ready', () => {
    redis.subscribe(...brokerChannels.worker).then(
      () => {
        reason = 'connection closed'
        state.up()
      },
      (error: unknown) => {
        state.down(messageOf(error))
        redis.disconnect(true)
      },
    )
  })
  redis.connect().catch(() => {}) // reported by `error`; ioredis retries
  const heart = setInterval(() => void checkConnection(redis, answerMs, (silence) => state.down(silence)), pingMs)
  await aborted(signal)
  clearInterval(heart)
  redis.disconnect()
}

/** A half-open connection stays silent, so only an answer proves that it works. */
async function checkConnection(redis: Redis, answerMs: number, onSilence: (reason: string) => void): Promise<void> {
  if (redis.status !== 'ready') return
  const late = setTimeout(() => {
    onSilence('it does not answer')
    redis.disconnect(true)
  }, answerMs)
  await redis.ping().catch(() => {})
  clearTimeout(late)
}

function deliverNotice(text: string, {onNotice}: TaskBrokerOptions): void {
  const parsed = v.safeParse(brokerMessageSchema, parseJson(text))
  if (!parsed.success) return
  const {type, data} = parsed.output
  onNotice({type: type === 'task.cancelled' ? 'cancelled' : 'available', taskId: data.id, codebaseId: data.codebase_id})
}

function stateChanges(onState: TaskBrokerOptions['onState']) {
  let isUp: boolean | undefined
  return {
    up: () => {
      if (isUp !== true) onState(true, 'subscribed')
      isUp = true
    },
    down: (reason: string) => {
      if (isUp !== false) onState(false, reason)
      isUp = false
    },
  }
}
