import {isFinal, taskStatuses, type TaskStatus} from '../../../protocol/schemas.ts'
import {conflict, HttpError, notFound} from '../../http/http-error.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import type {StoredTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {blockerOf} from '../dispatch/capacity.ts'
import {recordContact} from '../dispatch/contact.ts'
import {requireTask} from '../dispatch/required.ts'
import {takeOutput} from './output.ts'
import {isDeclinedRegistration, isRegistrationTask, passToNextWorker, withCodebase} from './registration-tasks.ts'
import {rule} from './report-table.ts'
import {serves} from '../dispatch/roster.ts'
import {cancel, finish, isHeld, renew, requeue, restart, start, type Outcome} from './task-life.ts'

/** `attempt`: the worker confirms that it has received this assignment. */
export type Claim = {task_id: string; worker_id: string; attempt: number | null}

/**
 * Gives a pending task to this worker, or confirms its assignment. The same worker may repeat it. Throws 409 if the task
 * is not the worker's to run.
 */
export const claimTask: Rule<Claim, StoredTask> = (draft, {task_id: id, worker_id: workerId, attempt}) => {
  recordContact(draft, workerId)
  const task = requireTask(draft, id)
  if (isHeld(task) && task.worker_id !== workerId)
    throw conflict(`Task ${id} already claimed by another worker (${task.worker_id})`)
  if (attempt !== null && !isHeld(task))
    throw conflict(`Task ${id} is ${task.status} at attempt ${task.attempt}: attempt ${attempt} is over`)
  applyReport(draft, task, {status: 'running', worker_id: workerId, attempt})
  return requireTask(draft, id)
}

export type StatusReport = Outcome & {
  status: string
  worker_id: string
  attempt: number | null
  /** It came with a worker's token: see `Report`. */
  bounded?: boolean
  /** With `pending`: false if the run never began. */
  began?: boolean | null
  /** The last output of the run. */
  output?: {output: string; offset: number; length: number} | null
}

/** Applies a worker's report if the rules allow it. Returns the task afterwards. */
export const reportStatus: Rule<StatusReport & {task_id: string}, StoredTask> = (draft, report) => {
  recordContact(draft, report.worker_id)
  applyReport(draft, requireTask(draft, report.task_id), report)
  return requireTask(draft, report.task_id)
}

function applyReport(draft: Draft, task: Readonly<StoredTask>, report: StatusReport): void {
  const {worker_id: workerId} = report
  const status = knownStatus(report.status)
  // a worker that was given no attempt sends 0
  const ruling = rule(task, {status, workerId, attempt: report.attempt || null, bounded: report.bounded ?? false})
  switch (ruling.do) {
    case 'refuse':
      throw conflict(ruling.detail)
    case 'claim':
      checkClaim(draft, task, workerId)
      start(draft, task, workerId, report.session_id)
      break
    case 'attach':
      renew(draft, task, report.session_id)
      break
    case 'release':
      requeue(draft, task, {began: report.began !== false})
      break
    case 'request-cancel':
      cancel(draft, task, {by: report.by ?? null, reason: `cancelled by ${workerId}`})
      break
    case 'finish':
      if (report.output) takeOutput(draft, {task_id: task.id, timestamp: null, ...report, ...report.output})
      if (isDeclinedRegistration(task, ruling.status, report.error))
        passToNextWorker(draft, task, workerId, String(report.error))
      else finish(draft, requireTask(draft, task.id), ruling.status, outcomeOf(draft, task, report))
      break
    case 'nothing':
      break
  }
}

function outcomeOf(state: State, task: Readonly<StoredTask>, report: StatusReport): Outcome {
  if (!isRegistrationTask(task) || report.status !== 'completed') return report
  return withCodebase(state, task, report.worker_id, report)
}

/** Releases a task. A final status ends it; otherwise it returns to the queue. */
export const releaseTask: Rule<StatusReport & {task_id: string}, StoredTask> = (draft, report) => {
  recordContact(draft, report.worker_id)
  const task = requireTask(draft, report.task_id)
  const mine = task.worker_id === report.worker_id
  if (!mine || task.status === 'pending') throw notFound(`Task ${task.id} not claimed by worker ${report.worker_id}`)
  const status = isFinal(report.status) ? report.status : 'pending'
  if (!isFinal(task.status) || status !== 'pending') applyReport(draft, task, {...report, status})
  return requireTask(draft, task.id)
}

export const cancelTask: Rule<{task_id: string; by: string | null}, StoredTask> = (draft, {task_id: id, by}) => {
  const task = requireTask(draft, id)
  if (isFinal(task.status)) throw conflict(`Task ${id} is already ${task.status}`)
  cancel(draft, task, {by, reason: `cancelled by ${by ?? 'a client'}`})
  return requireTask(draft, id)
}

/** Restarts an ended task as its next attempt. With `force` also a task whose worker is lost. */
export const retryTask: Rule<{task_id: string; force: boolean; by: string | null}, StoredTask> = (
  draft,
  {task_id: id, force, by},
) => {
  const task = requireTask(draft, id)
  if (task.status === 'pending') throw conflict(`Task ${id} is pending already`)
  if (!isFinal(task.status) && task.lost_since === null)
    throw conflict(`Task ${id} is running on worker ${task.worker_id}; cancel it first`)
  if (!isFinal(task.status) && !force)
    throw conflict(`The worker of task ${id} is lost since ${task.lost_since}; force it if its machine is gone`)
  restart(draft, task, by)
  return requireTask(draft, id)
}

function knownStatus(status: string): TaskStatus {
  const known = taskStatuses.find((name) => name === status)
  if (!known) throw new HttpError(400, `Invalid status: ${status.slice(0, 100)}`)
  return known
}

/** Any worker that serves the codebase may claim a pending task, unless it is offered to another worker. */
function checkClaim(draft: Draft, task: Readonly<StoredTask>, workerId: string): void {
  if (!serves(draft, workerId, task.codebase_id))
    throw conflict(`Worker ${workerId} does not serve codebase ${task.codebase_id} of task ${task.id}`)
  const offer = draft.get('offer', task.id)
  if (offer && offer.workerId !== workerId) throw conflict(`Task ${task.id} is offered to worker ${offer.workerId}`)
  const occupant = blockerOf(draft, task)
  if (occupant !== undefined) throw conflict(`The working tree of task ${task.id} is busy with task ${occupant}`)
}
