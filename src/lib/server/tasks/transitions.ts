import {limits} from '../../protocol/limits.ts'
import {isoTime, parseTime} from '../../core/clock.ts'
import type {FinalStatus, Usage} from '../../protocol/schemas.ts'
import type {Activity} from '../streams/activity.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'
import {isPortable} from './task-rules.ts'

export type Outcome = {
  /** The name of the token that ended it. */
  by?: string | null
  result?: string | null
  error?: string | null
  session_id?: string | null
  usage?: Usage | null
  metadata?: Record<string, unknown>
}

/** pending → running, held by this worker. */
export function start(parts: Parts, task: StoredTask, workerId: string, sessionId: string | null = null): void {
  const {store, leases, roster, dispatch, clock} = parts
  const now = isoTime(clock.now())
  store.tasks.update(task.id, {
    status: 'running',
    worker_id: workerId,
    started_at: task.started_at ?? now,
    updated_at: now,
    ...(sessionId ? {session_id: sessionId} : {}),
  })
  dispatch.onClaimed(task)
  leases.grant({taskId: task.id, attempt: task.attempt, workerId, tree: roster.treeOf(task.codebase_id)})
  announce(parts, {...task, worker_id: workerId}, {change: 'running'})
}

/** The holder has reported: renews the lease and clears `lost_since`. */
export function renew({store, leases, clock}: Parts, task: StoredTask, sessionId: string | null = null): void {
  const lease = leases.get(task.id)
  if (lease) leases.renew(lease)
  const isNewSession = Boolean(sessionId) && sessionId !== task.session_id
  if (task.lost_since === null && !isNewSession) return
  store.tasks.update(task.id, {
    lost_since: null,
    updated_at: isoTime(clock.now()),
    ...(isNewSession ? {session_id: sessionId} : {}),
  })
}

/** Any state → a final state. Empty texts do not replace existing ones. */
export function finish(parts: Parts, task: StoredTask, status: FinalStatus, outcome: Outcome = {}): void {
  const {store, clock} = parts
  const {by = null, usage} = outcome
  const now = isoTime(clock.now())
  const error = outcome.error?.slice(0, limits.error)
  store.tasks.update(task.id, {
    status,
    ...(status === 'cancelled' && task.cancelled_by === null ? {cancelled_by: by} : {}),
    completed_at: now,
    updated_at: now,
    lost_since: null,
    ...(outcome.result ? {result: outcome.result, output_chars: task.output_chars + outcome.result.length} : {}),
    ...(error ? {error} : {}),
    ...(outcome.session_id ? {session_id: outcome.session_id} : {}),
    ...(outcome.usage ? {usage: outcome.usage} : {}),
    ...(outcome.metadata ? {metadata: outcome.metadata} : {}),
  })
  parts.audit.record('task.ended', {...audited(task, by), detail: error ? `${status}: ${error}` : status})
  if (status === 'completed' && task.worker_id) store.registry.countCompleted(task.worker_id)
  const started = parseTime(task.started_at)
  freeResources(parts, task, {
    change: status,
    error,
    usage,
    ms: started === undefined ? undefined : clock.now() - started,
  })
}

/**
 * → pending as the next attempt, or → cancelled if a cancellation was requested. Each requeue increases the attempt, so
 * that late reports are refused. `began`: false if the run never began, so that it does not count as a try.
 */
export function requeue(parts: Parts, task: StoredTask, {began = true} = {}): void {
  if (task.cancel_requested_at !== null) return finish(parts, task, 'cancelled')
  parts.store.tasks.update(task.id, {
    status: 'pending',
    worker_id: null,
    lost_since: null,
    attempt: task.attempt + 1,
    returns: task.returns + (began ? 0 : 1),
    output_next: 0,
    updated_at: isoTime(parts.clock.now()),
  })
  freeResources(parts, task, {change: 'pending'})
  parts.commits.afterCommit(() => parts.dispatch.offer(task.id))
}

/** Any state → pending as the next attempt. Only output and session of the earlier run are retained. */
export function restart(parts: Parts, task: StoredTask, by: string | null): void {
  const clean = {
    cancel_requested_at: null,
    cancelled_by: null,
    completed_at: null,
    result: null,
    error: null,
    output_dropped: 0,
  } as const
  parts.store.tasks.update(task.id, {...clean, retried_by: by})
  parts.audit.record('task.retried', {...audited(task, by), detail: `attempt ${task.attempt + 1}`})
  requeue(parts, {...task, cancel_requested_at: null})
}

/** The lease of a running task has expired. A task of a codebase waits for the worker of that machine. */
export function expire(parts: Parts, task: StoredTask): void {
  if (task.cancel_requested_at !== null) return finish(parts, task, 'cancelled', {error: 'its worker was lost'})
  if (isPortable(task)) return requeue(parts, task)
  const now = isoTime(parts.clock.now())
  parts.store.tasks.update(task.id, {lost_since: now, updated_at: now})
  const lease = parts.leases.get(task.id)
  if (lease) lease.isLost = true
  announce(parts, task, {change: 'lost'})
}

/** Cancels a pending task at once. A running one is cancelled when its holder confirms it, or is lost. */
export function cancel(parts: Parts, task: StoredTask, {by, reason}: {by: string | null; reason: string}): void {
  if (task.cancel_requested_at !== null && task.lost_since === null) return
  parts.audit.record('task.cancelled', {...audited(task, by), detail: reason})
  if (task.status !== 'running' || task.lost_since !== null) return finish(parts, task, 'cancelled', {by})
  const now = isoTime(parts.clock.now())
  parts.store.tasks.update(task.id, {cancel_requested_at: now, cancelled_by: by, updated_at: now})
  if (!mayStop(parts, task)) limitCancellation(parts, task)
  announce(parts, task, {change: 'cancelling'})
  parts.commits.afterCommit(() => sendCancel(parts, task.worker_id, task, reason))
}

/** Whether the holder of a task can end its run. The existing worker has no way to. */
export const mayStop = ({roster}: Parts, {worker_id}: Pick<StoredTask, 'worker_id'>): boolean =>
  worker_id === null || roster.profile(worker_id).hasLeases

/** The cancellation counts after a while, although nobody confirms it. */
export function limitCancellation({leases, clock, timings}: Parts, {id}: Pick<StoredTask, 'id'>): void {
  const lease = leases.get(id)
  if (lease) lease.cancelledAt = clock.monotonic() + timings.unstoppableMs
}

/** Sends a worker the request to stop a run. The existing worker ignores the event. */
export function sendCancel(
  {hub}: Parts,
  workerId: string | null,
  {id, codebase_id, attempt}: Pick<StoredTask, 'id' | 'codebase_id' | 'attempt'>,
  reason: string,
): void {
  if (workerId !== null) hub.streamOf(workerId)?.send('task_cancelled', {id, task_id: id, codebase_id, attempt, reason})
}

const audited = ({id, worker_id}: StoredTask, who: string | null) => ({task_id: id, worker_id, who})

/** Frees the worker's slot and the working tree, and offers them to other tasks. */
function freeResources(parts: Parts, task: StoredTask, news: Announcement): void {
  const {leases, dispatch, commits} = parts
  leases.release(task.id)
  dispatch.forgetTask(task.id)
  announce(parts, task, news)
  commits.afterCommit(() => {
    // the worker first: filling it is fair among its codebases
    if (task.worker_id !== null) dispatch.fillWorker(task.worker_id)
    dispatch.offerNextTask(task.codebase_id)
  })
}

type Announcement = Omit<Activity & {type: 'task'}, 'type' | 'task'>

/** Notifies followers of the task, the monitoring log and the broker, once the change is on disk. */
export function announce(parts: Parts, task: StoredTask, news: Announcement): void {
  const {commits, hub, monitor, announcer, store} = parts
  commits.afterCommit(() => {
    hub.notifyFollowers(task)
    monitor.record({type: 'task', task, ...news})
    if (news.change === 'created') announcer.available(task)
    if (news.change === 'pending') announcer.available(store.tasks.get(task.id) ?? task)
    if (news.change === 'cancelling' || news.change === 'cancelled') announcer.cancelled(task)
  })
}
