import {parseTime} from '../../../core/clock.ts'
import {limits} from '../../../protocol/limits.ts'
import type {FinalStatus, Usage} from '../../../protocol/schemas.ts'
import type {Draft} from '../../state/draft.ts'
import type {StateEvent} from '../../state/events.ts'
import {factsOf} from '../../state/facts.ts'
import {newLease} from '../../state/new-lease.ts'
import type {StoredTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {fill, forgetOffer, placeById, placeNext} from '../dispatch/assignment.ts'
import {forgetBackoffsOf} from '../dispatch/backoffs.ts'
import {deliverAll, endAttempt, endDialogue} from './dialogue.ts'
import {isPortable} from './report-table.ts'
import {profileOf} from '../dispatch/roster.ts'

export type Outcome = {
  /** The name of the token that ended it. */
  by?: string | null
  result?: string | null
  error?: string | null
  session_id?: string | null
  usage?: Usage | null
  metadata?: Record<string, unknown>
}

type Task = Readonly<StoredTask>

/** Whether a worker holds the task: it runs, or is assigned and not confirmed. */
export const isHeld = ({status}: Pick<Task, 'status'>) => status === 'running' || status === 'assigned'

/** pending → running, claimed by this worker. */
export function start(draft: Draft, task: Task, workerId: string, sessionId: string | null = null): void {
  const now = draft.timestamp
  draft.update('task', task.id, {
    status: 'running',
    worker_id: workerId,
    started_at: task.started_at ?? now,
    updated_at: now,
    ...(sessionId ? {session_id: sessionId} : {}),
  })
  onTaken(draft, task)
  draft.put('lease', task.id, newLease(draft, task, workerId, {isConfirmed: true}))
  deliverAll(draft, task.id)
  announce(draft, task.id, {change: 'running'})
}

/** The holder has reported: confirms its assignment, renews the lease and clears `lost_since`. */
export function renew(draft: Draft, task: Task, sessionId: string | null = null): void {
  const lease = draft.get('lease', task.id)
  const isAssigned = task.status === 'assigned'
  if (lease) {
    const until = draft.time + draft.policy.leaseMs
    const confirmed = isAssigned ? {isConfirmed: true, heldSince: draft.time} : {}
    draft.update('lease', task.id, {until, isLost: false, doubtfulSince: undefined, failsAt: undefined, ...confirmed})
  }
  const isNewSession = Boolean(sessionId) && sessionId !== task.session_id
  const now = draft.timestamp
  if (isAssigned || isNewSession || task.lost_since !== null)
    draft.update('task', task.id, {
      lost_since: null,
      updated_at: now,
      ...(isNewSession ? {session_id: sessionId} : {}),
      ...(isAssigned ? {status: 'running', started_at: task.started_at ?? now} : {}),
    })
  if (!isAssigned) return
  onTaken(draft, task)
  deliverAll(draft, task.id)
  announce(draft, task.id, {change: 'running'})
}

/** Declines of a registration are remembered, because the taker may decline too. */
function onTaken(draft: Draft, {id, agent_type}: Task): void {
  forgetOffer(draft, id)
  if (agent_type !== 'register_codebase') forgetBackoffsOf(draft, id)
}

/** Any state → a final state. Empty texts do not replace existing ones. */
export function finish(draft: Draft, task: Task, status: FinalStatus, outcome: Outcome = {}): void {
  const {by = null, usage} = outcome
  const now = draft.timestamp
  const error = outcome.error?.slice(0, limits.error)
  draft.update(
    'task',
    task.id,
    {
      status,
      ...(status === 'cancelled' && task.cancelled_by === null ? {cancelled_by: by} : {}),
      completed_at: now,
      updated_at: now,
      lost_since: null,
      ...(outcome.result ? {result: outcome.result} : {}),
      ...(error ? {error} : {}),
      ...(outcome.session_id ? {session_id: outcome.session_id} : {}),
      ...(outcome.usage ? {usage: outcome.usage} : {}),
      ...(outcome.metadata ? {metadata: outcome.metadata} : {}),
    },
    outcome.result ? {output_chars: outcome.result.length} : {},
  )
  draft.audit('task.ended', {...audited(task, by), detail: error ? `${status}: ${error}` : status})
  if (status === 'completed' && task.worker_id) draft.update('worker', task.worker_id, {}, {tasks_completed: 1})
  const started = parseTime(task.started_at)
  endDialogue(draft, task)
  free(draft, task, {change: status, error, usage, ms: started === undefined ? undefined : draft.now - started})
  giveAwayRoomOf(draft, task)
}

/**
 * → pending as the next attempt, or → cancelled if a cancellation was requested. Each requeue increases the attempt, so
 * that late reports are refused. `began`: false if the run never began, so that it does not count as a try.
 * `keepsBackoffs`: what workers have missed or declined still holds.
 */
export function requeue(draft: Draft, task: Task, {began = true, keepsBackoffs = false} = {}): void {
  if (task.cancel_requested_at !== null) return finish(draft, task, 'cancelled')
  const neverBegan = !began || task.status === 'assigned'
  const attempt = task.attempt + 1
  const facts = draft.get('task', task.id)
  draft.update('task', task.id, {
    status: 'pending',
    worker_id: null,
    lost_since: null,
    attempt,
    returns: task.returns + (neverBegan ? 1 : 0),
    output_next: 0,
    updated_at: draft.timestamp,
  })
  endAttempt(draft, task)
  free(draft, task, {change: 'pending'}, {keepsBackoffs, facts})
  giveAwayRoomOf(draft, task)
  placeById(draft, task.id)
}

/** Any state → pending as the next attempt. Only output and session of the earlier run are retained. */
export function restart(draft: Draft, task: Task, by: string | null): void {
  draft.audit('task.retried', {...audited(task, by), detail: `attempt ${task.attempt + 1}`})
  draft.update('task', task.id, {
    cancel_requested_at: null,
    cancelled_by: null,
    completed_at: null,
    result: null,
    error: null,
    output_dropped: 0,
    retried_by: by,
  })
  const clean = draft.get('task', task.id)
  if (clean) requeue(draft, clean)
}

/** The lease of a task has expired. A task of a codebase waits for the worker of that machine. */
export function expire(draft: Draft, task: Task): void {
  if (task.cancel_requested_at !== null) return finish(draft, task, 'cancelled', {error: 'its worker was lost'})
  if (isPortable(task) || task.status === 'assigned') return requeue(draft, task)
  const now = draft.timestamp
  draft.update('task', task.id, {lost_since: now, updated_at: now})
  draft.update('lease', task.id, {isLost: true, failsAt: draft.time + draft.policy.lostTimeoutMs})
  announce(draft, task.id, {change: 'lost'})
}

/** Cancels a pending task at once. A held one is cancelled when its holder confirms it, or is lost. */
export function cancel(draft: Draft, task: Task, {by, reason}: {by: string | null; reason: string}): void {
  if (task.cancel_requested_at !== null && task.lost_since === null) return
  draft.audit('task.cancelled', {...audited(task, by), detail: reason})
  if (!isHeld(task) || task.lost_since !== null) return finish(draft, task, 'cancelled', {by})
  const now = draft.timestamp
  draft.update('task', task.id, {cancel_requested_at: now, cancelled_by: by, updated_at: now})
  if (!mayStop(draft, task)) limitCancellation(draft, task.id)
  announce(draft, task.id, {change: 'cancelling'})
  if (task.worker_id !== null) askToStop(draft, task.worker_id, task, reason)
}

/** Whether the holder of a task can end its run. The existing worker has no way to. */
const mayStop = (state: State, {worker_id}: Pick<Task, 'worker_id'>): boolean =>
  worker_id === null || profileOf(state, worker_id).hasLeases

/** The cancellation counts after a while, although nobody confirms it. */
function limitCancellation(draft: Draft, taskId: string): void {
  draft.update('lease', taskId, {cancelledAt: draft.time + draft.policy.unstoppableMs})
}

/** Asks a worker to stop its run of this attempt. */
export function askToStop(
  draft: Draft,
  workerId: string,
  {id, codebase_id, attempt}: Pick<Task, 'id' | 'codebase_id' | 'attempt'>,
  reason: string,
): void {
  draft.emit({type: 'stop', workerId, task: {id, codebase_id, attempt}, reason})
}

const audited = ({id, worker_id}: Task, who: string | null) => ({task_id: id, worker_id, who})

/** Frees the worker's slot and the working tree. */
function free(
  draft: Draft,
  {id, worker_id}: Task,
  news: News,
  {keepsBackoffs = false, facts = draft.get('task', id)} = {},
): void {
  draft.remove('lease', id)
  forgetOffer(draft, id)
  if (!keepsBackoffs) forgetBackoffsOf(draft, id)
  if (facts) draft.emit({type: 'task', task: {...factsOf(facts), worker_id}, ...news})
}

/** Gives the slot and the working tree to other tasks. The worker first: filling it is fair among its codebases. */
function giveAwayRoomOf(draft: Draft, {worker_id, codebase_id}: Task): void {
  if (worker_id !== null) fill(draft, worker_id)
  placeNext(draft, codebase_id)
}

type News = Omit<StateEvent & {type: 'task'}, 'type' | 'task'>

/** Notifies followers of the task, the monitoring log and the broker, once the change is on disk. */
export function announce(draft: Draft, taskId: string, news: News): void {
  const task = draft.get('task', taskId)
  if (task) draft.emit({type: 'task', task: factsOf(task), ...news})
}
