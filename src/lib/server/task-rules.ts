import {isFinal, taskStatuses, type FinalStatus, type StatusUpdate} from '../protocol/schemas.ts'
import {conflict, Refusal} from './refusal.ts'
import type {StoredTask} from './store.ts'

export type Report = Pick<StatusUpdate, 'worker_id' | 'status'> & {attempt?: number | null | undefined}

/** What a report means for a task. */
export type Move =
  | {type: 'claim'}
  | {type: 'note'}
  | {type: 'finish'; status: FinalStatus}
  | {type: 'cancel'}
  | {type: 'requeue'}
  | {type: 'nothing'}

/**
 * The state machine of a task: pending → running → completed | failed | cancelled, with one holder and, through
 * `requeue`, another attempt. Throws Refusal: 400 for a word that is no state, 409 for a move that is not the caller's
 * to make (a former holder's late report, a second claim, a change of a final state).
 */
export function decide(task: StoredTask, report: Report): Move {
  const {status} = report
  if (!(taskStatuses as readonly string[]).includes(status) || status === 'assigned')
    throw new Refusal(400, `Invalid status: ${status}`)
  const late = report.attempt != null && report.attempt !== task.attempt
  if (late) throw conflict(`Attempt ${report.attempt} of task ${task.id} is over; it is at attempt ${task.attempt}`)
  if (isFinal(task.status)) return decideFinal(task, report)
  if (task.status === 'pending') return decidePending(task, status)
  return decideRunning(task, report)
}

function decideFinal(task: StoredTask, {status, worker_id: workerId}: Report): Move {
  if (status === task.status && workerId === task.worker_id) return {type: 'nothing'}
  throw conflict(`Task ${task.id} is already ${task.status}`)
}

function decidePending(task: StoredTask, status: string): Move {
  if (status === 'running') return {type: 'claim'}
  if (status === 'pending') return {type: 'nothing'}
  if (status === 'cancelled') return {type: 'cancel'}
  if (status === 'failed') return {type: 'finish', status: 'failed'}
  throw conflict(`Task ${task.id} is pending: it cannot be ${status} before it was claimed`)
}

function decideRunning(task: StoredTask, {status, worker_id: workerId}: Report): Move {
  if (workerId !== task.worker_id) {
    if (status === 'cancelled') return {type: 'cancel'}
    throw conflict(`Task ${task.id} is held by worker ${task.worker_id}`)
  }

  if (status === 'running') return {type: 'note'}
  if (status === 'pending') return {type: 'requeue'}
  return {type: 'finish', status: status as FinalStatus}
}
