import {isoTime, type Clock} from '../../core/clock.ts'
import {configError, messageOf} from '../../core/errors.ts'
import {fullJitter} from '../../core/loop.ts'
import {brokerChannels, brokerTypes, brokerUrlProblem} from '../../protocol/broker.ts'
import type {StoredTask} from '../store/store.ts'
import {taskFrame} from './task-view.ts'

/** Tells the world beyond this process of tasks: best effort, the store is the truth. */
export type Announcer = {
  /** The task may be taken: it is new, or pending again. */
  available(task: StoredTask): void
  cancelled(task: StoredTask): void
  close(): void
}

export const noAnnouncer: Announcer = {available: () => {}, cancelled: () => {}, close: () => {}}

const retry = fullJitter(200, 10_000)

/**
 * Publishes on a Redis broker. Does not wait for it: while it is away nothing is announced, and workers hear of their
 * tasks by stream or polling. Each change is logged once. Throws ExpectedError (78) when the address is none.
 */
export async function redisAnnouncer(url: string, clock: Clock, log: (line: string) => void): Promise<Announcer> {
  const problem = brokerUrlProblem(url)
  if (problem) throw configError(`The broker's address ${problem}.`, 'Correct --redis-url or A2A_REDIS_URL.')
  const {Redis} = await import('ioredis')
  const redis = new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 5000,
    keepAlive: 15_000,
    retryStrategy: (times) => retry(times),
  })
  let wasUp: boolean | undefined
  const change = (isUp: boolean, line: string) => {
    if (wasUp !== isUp) log(line)
    wasUp = isUp
  }
  redis.on('ready', () => change(true, 'Broker connected: tasks are announced on it'))
  redis.on('error', (error) => change(false, `Broker out of reach (${messageOf(error)}): tasks are not announced`))
  redis.on('close', () => change(false, 'Broker lost: tasks are not announced'))
  redis.connect().catch(() => {}) // told by `error`; it goes on trying

  const publish = (types: string[], data: Record<string, unknown>) => {
    if (redis.status !== 'ready') return
    const timestamp = isoTime(clock.now())
    const batch = redis.pipeline()
    for (const [i, type] of types.entries()) {
      const message = JSON.stringify({type, data, timestamp})
      if (i === 0) batch.publish(brokerChannels.all, message)
      batch.publish(brokerChannels.of(type), message)
    }

    batch.exec().catch(() => {})
  }
  return {
    available: (task) => publish([brokerTypes.available, brokerTypes.created], taskFrame(task)),
    cancelled: ({id, codebase_id, attempt}) =>
      publish([brokerTypes.cancelled], {id, task_id: id, codebase_id, attempt}),
    close: () => redis.disconnect(),
  }
}
