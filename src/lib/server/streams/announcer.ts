import {isoTime, type Clock} from '../../core/clock.ts'
import {configError, messageOf} from '../../core/errors.ts'
import {fullJitter} from '../../core/loop.ts'
import {createRedis} from '../../core/redis/create-redis.ts'
import {redisUrlProblem} from '../../core/redis/redis-address.ts'
import {tlsProblem} from '../../core/tls.ts'
import {brokerChannels, brokerTypes, questionType} from '../../protocol/broker.ts'
import type {Log} from './activity-lines.ts'
import type {TaskFacts} from '../state/facts.ts'

type AnnouncedTask = Pick<TaskFacts, 'id' | 'codebase_id' | 'attempt'>

/** Announces tasks outside this process. Best effort: the store is authoritative. */
export type Announcer = {
  /** The task is new, or was requeued. */
  available(task: AnnouncedTask): void
  cancelled(task: AnnouncedTask): void
  /** Its agent asks something, was answered, or does not ask any more. */
  question(task: AnnouncedTask, change: string, questionId: string): void
  close(): void
}

export const noAnnouncer: Announcer = {available: () => {}, cancelled: () => {}, question: () => {}, close: () => {}}

const retry = fullJitter(200, 10_000)

/**
 * Publishes on Redis without waiting for it. While Redis is down nothing is announced, and workers get their tasks by
 * stream or polling. Each change of the connection is logged once. Throws ExpectedError (78) for a malformed URL.
 */
export async function redisAnnouncer(url: string, clock: Clock, log: Log): Promise<Announcer> {
  const problem = redisUrlProblem(url)
  if (problem) throw configError(`The broker's address ${problem}.`, 'Correct --redis-url or A2A_REDIS_URL.')
  const redis = await createRedis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 5000,
    keepAlive: 15_000,
    retryStrategy: (times) => retry(times),
  })
  let wasUp: boolean | undefined
  let isClosed = false
  const change = (isUp: boolean, line: string) => {
    if (wasUp !== isUp && !isClosed) log(line, isUp ? 'info' : 'warn')
    wasUp = isUp
  }
  redis.on('ready', () => change(true, 'Broker connected: tasks are announced on it'))
  redis.on('error', (error) =>
    change(false, `Broker out of reach (${tlsProblem(error) ?? messageOf(error)}): tasks are not announced`),
  )
  redis.on('close', () => change(false, 'Broker lost: tasks are not announced'))
  redis.connect().catch(() => {}) // reported by `error`; ioredis retries

  // ids only: whoever may subscribe reads them, and a worker reads the task from the control plane
  const publish = (types: string[], {id, codebase_id, attempt}: AnnouncedTask, more: object = {}) => {
    const data = {id, task_id: id, codebase_id, attempt, ...more}
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
    available: (task) => publish([brokerTypes.available, brokerTypes.created], task),
    cancelled: (task) => publish([brokerTypes.cancelled], task),
    question: (task, change, questionId) => publish([questionType], task, {change, question: questionId}),
    close: () => {
      isClosed = true
      redis.disconnect()
    },
  }
}
