import {randomUUID} from 'node:crypto'
import {isoTime} from '../../core/clock.ts'
import {limits} from '../../protocol/limits.ts'
import type {TaskStatus} from '../../protocol/schemas.ts'
import {finalStatuses, isFinal, taskStatuses} from '../../protocol/schemas.ts'
import {conflict, HttpError, notFound} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import {acceptOutput} from './output-intake.ts'
import {isRegistrationTask, isDeclinedRegistration, offerToNextWorker, withCodebase} from './registration-tasks.ts'
import type {StoredTask} from '../store/store.ts'
import * as transitions from './transitions.ts'
import type {Outcome} from './transitions.ts'
import {rule} from './task-rules.ts'
import {frameSize} from '../streams/task-view.ts'

export type TaskInput = {
  codebase_id: string
  title: string
  prompt: string
  agent_type: string
  model?: string | null
  priority?: number
  metadata: Record<string, unknown>
}

/** `by`: the name of the token of the request, if it has one. */
export function createTask(parts: Parts, input: TaskInput, by: string | null): StoredTask {
  const {store, commits, dispatch, clock, audit} = parts
  checkSizes(input)
  const id = randomUUID()
  const {metadata, title, model = null, priority = 0} = input
  const capabilities = metadata['required_capabilities']
  const required = Array.isArray(capabilities) ? capabilities.filter((name) => typeof name === 'string') : []
  const created_at = isoTime(clock.now())
  store.tasks.insert({
    ...input,
    id,
    title,
    model,
    priority,
    created_at,
    created_by: by,
    required: required.length > 0 ? required : null,
    frame_size: frameSize(input),
  })
  store.registry.recordTrigger(input.codebase_id, created_at)
  audit.record('task.created', {who: by, task_id: id, detail: `${input.agent_type} in ${input.codebase_id}: ${title}`})
  dispatch.offerEarly(id)
  const task = requireTask(parts, id)
  commits.afterCommit(() => dispatch.offer(id))
  transitions.announce(parts, task, {change: 'created'})
  return task
}

function checkSizes({prompt, title}: TaskInput): void {
  if (Buffer.byteLength(prompt) > limits.prompt)
    throw new HttpError(413, `The prompt is larger than ${limits.prompt} bytes`)
  if (title.length > limits.title) throw new HttpError(413, `The title is longer than ${limits.title} characters`)
}

export function requireTask({store}: Parts, id: string): StoredTask {
  const task = store.tasks.get(id)
  if (!task) throw notFound('Task not found')
  return task
}

/** Assigns a pending task to this worker. The same worker may repeat the claim. Throws 409 if it is not available. */
export function claimTask(parts: Parts, id: string, workerId: string): StoredTask {
  const task = requireTask(parts, id)
  if (task.status === 'running' && task.worker_id !== workerId)
    throw conflict(`Task ${id} already claimed by another worker (${task.worker_id})`)
  return reportStatus(parts, task, {status: 'running', worker_id: workerId, attempt: null})
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
export function reportStatus(parts: Parts, task: StoredTask, report: StatusReport): StoredTask {
  const {worker_id: workerId} = report
  const status = knownStatus(report.status)
  // a worker that was given no attempt sends 0
  const ruling = rule(task, {status, workerId, attempt: report.attempt || null, bounded: report.bounded ?? false})
  switch (ruling.do) {
    case 'refuse':
      throw conflict(ruling.detail)
    case 'claim':
      checkClaim(parts, task, workerId)
      transitions.start(parts, task, workerId, report.session_id)
      break
    case 'attach':
      transitions.renew(parts, task, report.session_id)
      break
    case 'release':
      transitions.requeue(parts, task, {began: report.began !== false})
      break
    case 'request-cancel':
      transitions.cancel(parts, task, {by: report.by ?? null, reason: `cancelled by ${workerId}`})
      break
    case 'finish':
      if (report.output) acceptOutput(parts, task, {...report, timestamp: null, ...report.output, isLast: true})
      if (isDeclinedRegistration(task, ruling.status, report.error))
        offerToNextWorker(parts, task, workerId, String(report.error))
      else transitions.finish(parts, task, ruling.status, outcomeOf(parts, task, report))
      break
    case 'nothing':
      break
  }

  return requireTask(parts, task.id)
}

function outcomeOf(parts: Parts, task: StoredTask, report: StatusReport): Outcome {
  if (!isRegistrationTask(task) || report.status !== 'completed') return report
  return withCodebase(parts, task, report.worker_id, report)
}

/** Releases a task. A final status ends it; otherwise it returns to the queue. */
export function releaseTask(parts: Parts, report: StatusReport & {task_id: string}): StoredTask {
  const task = requireTask(parts, report.task_id)
  const mine = task.worker_id === report.worker_id
  if (!mine || task.status === 'pending') throw notFound(`Task ${task.id} not claimed by worker ${report.worker_id}`)
  const status = isFinal(report.status) ? report.status : 'pending'
  if (isFinal(task.status) && status === 'pending') return task
  return reportStatus(parts, task, {...report, status})
}

export function cancelTask(parts: Parts, id: string, by: string | null): StoredTask {
  const task = requireTask(parts, id)
  if (isFinal(task.status)) throw conflict(`Task ${id} is already ${task.status}`)
  transitions.cancel(parts, task, {by, reason: `cancelled by ${by ?? 'a client'}`})
  return requireTask(parts, id)
}

/** Restarts an ended task as its next attempt. With `force` also a task whose worker is lost. */
export function retryTask(parts: Parts, id: string, {force, by}: {force: boolean; by: string | null}): StoredTask {
  const task = requireTask(parts, id)
  if (task.status === 'pending') throw conflict(`Task ${id} is pending already`)
  if (!hasEnded(task) && task.lost_since === null)
    throw conflict(`Task ${id} is running on worker ${task.worker_id}; cancel it first`)
  if (!hasEnded(task) && !force)
    throw conflict(`The worker of task ${id} is lost since ${task.lost_since}; force it if its machine is gone`)
  transitions.restart(parts, task, by)
  return requireTask(parts, id)
}

export const hasEnded = ({status}: Pick<StoredTask, 'status'>) => (finalStatuses as readonly string[]).includes(status)

function knownStatus(status: string): TaskStatus {
  const known = taskStatuses.find((name) => name === status)
  if (!known) throw new HttpError(400, `Invalid status: ${status.slice(0, 100)}`)
  return known
}

/** Any worker that serves the codebase may claim a pending task, unless it is offered to another worker. */
function checkClaim({dispatch, roster}: Parts, task: StoredTask, workerId: string): void {
  if (!roster.serves(workerId, task.codebase_id))
    throw conflict(`Worker ${workerId} does not serve codebase ${task.codebase_id} of task ${task.id}`)
  const offer = dispatch.offers.get(task.id)
  if (offer && offer.workerId !== workerId) throw conflict(`Task ${task.id} is offered to worker ${offer.workerId}`)
  const occupant = dispatch.blockerOf(task)
  if (occupant !== undefined) throw conflict(`The working tree of task ${task.id} is busy with task ${occupant}`)
}
