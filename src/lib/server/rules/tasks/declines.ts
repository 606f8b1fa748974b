import {isPathDecline} from '../../../protocol/declines.ts'
import type {Rule} from '../../state/draft.ts'
import {fill, forgetOffer, placeById, placeNext} from '../dispatch/assignment.ts'
import {recordDecline} from '../dispatch/backoffs.ts'
import {mayRead} from '../dispatch/boundary.ts'
import {recordContact} from '../dispatch/contact.ts'
import {isRegistrationTask, passToNextWorker} from './registration-tasks.ts'
import {requireTask} from '../dispatch/required.ts'
import {requeue} from './task-life.ts'

/** The longest time for which a worker may decline a task at once. */
const maxRetryMs = 15 * 60_000
const maxReasonChars = 500

export type Decline = {
  task_id: string
  worker_id: string
  reason: string
  retry_ms: number | null
  /** The attempt of the assignment that is declined. */
  attempt: number | null
  /** The worker of the request's token, if it is a worker's. */
  only: string | undefined
}

/** The worker does not take the task: the next worker gets it at once. What it does not hold or may not read is left. */
export const declineTask: Rule<Decline, void> = (draft, {worker_id: workerId, only, attempt, retry_ms, ...request}) => {
  recordContact(draft, workerId)
  const task = requireTask(draft, request.task_id)
  const isAssigned = task.status === 'assigned' && task.worker_id === workerId
  if (!isAssigned && task.status !== 'pending') return
  if (attempt && attempt !== task.attempt) return
  if (only !== undefined && !mayRead(draft, only, task)) return
  const reason = request.reason.slice(0, maxReasonChars) || 'no reason given'
  if (isRegistrationTask(task) && isPathDecline(reason)) return passToNextWorker(draft, task, workerId, reason)
  const forMs = retry_ms === null ? undefined : Math.min(retry_ms, maxRetryMs)
  recordDecline(draft, {taskId: task.id, workerId, reason, forMs})
  if (isAssigned) return requeue(draft, task, {began: false, keepsBackoffs: true})
  if (draft.get('offer', task.id)?.workerId === workerId) forgetOffer(draft, task.id)
  placeById(draft, task.id)
  placeNext(draft, task.codebase_id)
  fill(draft, workerId)
}
