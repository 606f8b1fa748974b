import {isoTime, parseTime} from '../../core/clock.ts'
import type {FinalStatus, Usage} from '../../protocol/schemas.ts'
import type {Happening} from '../streams/activity.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'
import {isPortable} from './task-rules.ts'

export type Outcome = {
  result?: string | null
  error?: string | null
  session_id?: string | null
  usage?: Usage | null
  metadata?: Record<string, unknown>
}

/** pending → running, in the hands of this worker. */
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
  dispatch.taken(task)
  leases.hold({taskId: task.id, attempt: task.attempt, workerId, tree: roster.treeOf(task.codebase_id)})
  announce(parts, {...task, worker_id: workerId}, {change: 'running'})
}

/** The holder shows that it is at it: the lease begins anew, and a lost task is found. */
export function renew({store, leases, clock}: Parts, task: StoredTask, sessionId: string | null = null): void {
  const held = leases.get(task.id)
  if (held) leases.renew(held)
  const isNewSession = Boolean(sessionId) && sessionId !== task.session_id
  if (task.lost_since === null && !isNewSession) return
  store.tasks.update(task.id, {
    lost_since: null,
    updated_at: isoTime(clock.now()),
    ...(isNewSession ? {session_id: sessionId} : {}),
  })
}

/** Anything → a final state. Texts that are empty leave what is there. */
export function finish(parts: Parts, task: StoredTask, status: FinalStatus, outcome: Outcome = {}): void {
  const {store, clock} = parts
  const now = isoTime(clock.now())
  store.tasks.update(task.id, {
    status,
    completed_at: now,
    updated_at: now,
    lost_since: null,
    ...(outcome.result ? {result: outcome.result, output_chars: task.output_chars + outcome.result.length} : {}),
    ...(outcome.error ? {error: outcome.error} : {}),
    ...(outcome.session_id ? {session_id: outcome.session_id} : {}),
    ...(outcome.usage ? {usage: outcome.usage} : {}),
    ...(outcome.metadata ? {metadata: outcome.metadata} : {}),
  })
  if (status === 'completed' && task.worker_id) store.registry.completed(task.worker_id)
  const {error, usage} = outcome
  const started = parseTime(task.started_at)
  free(parts, task, {change: status, error, usage, ms: started === undefined ? undefined : clock.now() - started})
}

/** Back to pending as the next attempt, for anybody who may take it; or cancelled, if that was wanted. */
export function requeue(parts: Parts, task: StoredTask): void {
  if (task.cancel_requested_at !== null) return finish(parts, task, 'cancelled')
  parts.store.tasks.update(task.id, {
    status: 'pending',
    worker_id: null,
    lost_since: null,
    attempt: task.attempt + 1,
    output_next: 0,
    updated_at: isoTime(parts.clock.now()),
  })
  free(parts, task, {change: 'pending'})
  parts.commits.afterCommit(() => parts.dispatch.offer(task.id))
}

/** Back to pending whatever it was, with nothing left of the former run but its output and session. */
export function restart(parts: Parts, task: StoredTask): void {
  const clean = {cancel_requested_at: null, completed_at: null, result: null, error: null, output_dropped: 0} as const
  parts.store.tasks.update(task.id, clean)
  requeue(parts, {...task, cancel_requested_at: null})
}

/** The lease of a running task has ended. Code lives on one machine: its task waits for that machine's worker. */
export function lapse(parts: Parts, task: StoredTask): void {
  if (task.cancel_requested_at !== null) return finish(parts, task, 'cancelled', {error: 'its worker was lost'})
  if (isPortable(task)) return requeue(parts, task)
  const now = isoTime(parts.clock.now())
  parts.store.tasks.update(task.id, {lost_since: now, updated_at: now})
  const held = parts.leases.get(task.id)
  if (held) held.isLost = true
  announce(parts, task, {change: 'lost'})
}

/** A pending task is cancelled at once; a running one when its holder says so, or is lost. */
export function cancel(parts: Parts, task: StoredTask, reason: string): void {
  if (task.status !== 'running' || task.lost_since !== null) return finish(parts, task, 'cancelled')
  if (task.cancel_requested_at !== null) return
  const now = isoTime(parts.clock.now())
  parts.store.tasks.update(task.id, {cancel_requested_at: now, updated_at: now})
  announce(parts, task, {change: 'cancelling'})
  parts.commits.afterCommit(() => tellCancelled(parts, task.worker_id, task, reason))
}

/** Asks a worker to stop a run. The existing worker ignores the event. */
export function tellCancelled(
  {hub}: Parts,
  workerId: string | null,
  {id, codebase_id, attempt}: Pick<StoredTask, 'id' | 'codebase_id' | 'attempt'>,
  reason: string,
): void {
  if (workerId !== null) hub.streamOf(workerId)?.send('task_cancelled', {id, task_id: id, codebase_id, attempt, reason})
}

/** The worker's slot and the working tree are free again: somebody else's task may go there. */
function free(parts: Parts, task: StoredTask, news: News): void {
  const {leases, dispatch, commits} = parts
  leases.drop(task.id)
  dispatch.settle(task.id)
  announce(parts, task, news)
  commits.afterCommit(() => {
    // the worker first: it chooses fairly among its codebases
    if (task.worker_id !== null) dispatch.fill(task.worker_id)
    dispatch.offerNextOf(task.codebase_id)
  })
}

type News = Omit<Happening & {type: 'task'}, 'type' | 'task'>

/** Tells whoever follows the task, watches the plane or listens to the broker, once it is on the disk. */
export function announce(parts: Parts, task: StoredTask, news: News): void {
  const {commits, hub, monitor, announcer, store} = parts
  commits.afterCommit(() => {
    hub.changed(task)
    monitor.note({type: 'task', task, ...news})
    if (news.change === 'created') announcer.available(task)
    if (news.change === 'pending') announcer.available(store.tasks.get(task.id) ?? task)
    if (news.change === 'cancelling' || news.change === 'cancelled') announcer.cancelled(task)
  })
}
