import type {Redis} from 'ioredis'
import * as v from 'valibot'
import {messageOf} from '../core/errors.ts'
import {aborted} from '../core/operation.ts'
import {brokerChannels, brokerMessageSchema} from '../protocol/broker.ts'
import {parseJson} from '../protocol/parse.ts'

/** What the broker wakes a worker for. Nothing else in a message is believed: the task is read from the server. */
export type Wake = {type: 'available' | 'cancelled'; taskId: string; codebaseId: string}

export type TaskBrokerOptions = {
  url: string
  signal: AbortSignal
  onWake: (wake: Wake) => void
  /** Each change, once: subscribed, or out of reach and why. */
  onState: (isUp: boolean, reason: string) => void
  /** How often the connection has to give a sign of life, and how long it may take for it. */
  pingMs?: number
  answerMs?: number
}

const firstRetryMs = 200
const mostRetryMs = 10_000

/**
 * Listens to the announcements of a Redis broker until aborted. Redis may be absent, away, restarted, refuse the
 * password or go silent: it is tried again, with jitter, for as long as it takes, and subscribed again each time.
 */
export async function listenToBroker(options: TaskBrokerOptions): Promise<void> {
  const {url, signal, onState, pingMs = 15_000, answerMs = 5000} = options
  const ioredis = await import('ioredis')
  const state = changes(onState)
  const redis = new ioredis.Redis(url, {
    lazyConnect: true,
    autoResubscribe: false, // it is done below, where a refusal is noticed
    maxRetriesPerRequest: null,
    enableOfflineQueue: false,
    connectTimeout: answerMs,
    keepAlive: pingMs,
    retryStrategy: (times) =>
      Math.round(Math.random() * Math.min(mostRetryMs, firstRetryMs * 2 ** Math.min(times, 10))),
    reconnectOnError: () => false,
  })
  let reason = 'connection closed'
  redis.on('error', (error) => {
    reason = messageOf(error)
    state.down(reason)
  })
  redis.on('close', () => state.down(reason))
  redis.on('message', (_, text) => wake(text, options))
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
  redis.connect().catch(() => {}) // told by `error`; it goes on trying
  const heart = setInterval(() => void beat(redis, answerMs, (silence) => state.down(silence)), pingMs)
  await aborted(signal)
  clearInterval(heart)
  redis.disconnect()
}

/** A half-open connection never says anything again: only an answer is a sign of life. */
async function beat(redis: Redis, answerMs: number, onSilence: (reason: string) => void): Promise<void> {
  if (redis.status !== 'ready') return
  const late = setTimeout(() => {
    onSilence('it does not answer')
    redis.disconnect(true)
  }, answerMs)
  await redis.ping().catch(() => {})
  clearTimeout(late)
}

function wake(text: string, {onWake}: TaskBrokerOptions): void {
  const parsed = v.safeParse(brokerMessageSchema, parseJson(text))
  if (!parsed.success) return
  const {type, data} = parsed.output
  onWake({type: type === 'task.cancelled' ? 'cancelled' : 'available', taskId: data.id, codebaseId: data.codebase_id})
}

function changes(onState: TaskBrokerOptions['onState']) {
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
