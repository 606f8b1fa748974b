import type {Draft, Rule} from '../../state/draft.ts'
import {all, pair, type Lease, type StoredTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {fill, placeById} from '../dispatch/assignment.ts'
import {recordMiss} from '../dispatch/backoffs.ts'
import {silentMs} from '../dispatch/contact.ts'
import {failUntakenRegistrations} from './registration-tasks.ts'
import {nameOf, profileOf} from '../dispatch/roster.ts'
import {expire, finish, requeue} from './task-life.ts'

/** What is due is dealt with in decisions of this size, so that a request need not wait for long. */
const maxLapsed = 50

/** Ends what was not renewed, claimed or confirmed in time. Returns whether there may be more to end now. */
export const lapse: Rule<void, boolean> = (draft) => {
  let left = maxLapsed
  const take = (isDue: boolean) => isDue && left-- > 0
  for (const lease of [...draft.find('leases', all)]) {
    const end = left > 0 ? endOf(draft, lease) : undefined
    if (!end || !take(true)) continue
    const task = draft.get('task', lease.taskId)
    if (task) end(draft, task)
    else draft.remove('lease', lease.taskId)
  }

  for (const {taskId, workerId, until} of [...draft.find('offers', all)])
    if (take(until <= draft.time)) {
      draft.remove('offer', taskId)
      recordMiss(draft, taskId, workerId)
      placeById(draft, taskId)
      fill(draft, workerId)
    }

  for (const polled of [...draft.find('polled', all)]) {
    const {taskId, handedOutUntil} = polled
    if (!take(handedOutUntil > 0 && handedOutUntil <= draft.time)) continue
    draft.put('polled', taskId, {...polled, handedOutUntil: 0})
    placeById(draft, taskId)
  }

  for (const {taskId, workerId, until, isOver} of [...draft.find('backoffs', all)])
    if (take(!isOver && until <= draft.time)) {
      draft.update('backoff', pair(taskId, workerId), {isOver: true})
      placeById(draft, taskId)
    }

  failUntakenRegistrations(draft)
  return left <= 0
}

type End = (draft: Draft, task: Readonly<StoredTask>) => void

const cancelUnconfirmed: End = (draft, task) =>
  finish(draft, task, 'cancelled', {
    error: `its worker, ${nameOf(draft, task.worker_id ?? '')}, cannot be stopped: its agent may still run`,
  })

const failLost: End = (draft, task) => finish(draft, task, 'failed', {error: `worker lost since ${task.lost_since}`})

/** The worker did not confirm the assignment: it goes to another one, or to the same one after a pause. */
const lapseAssignment: End = (draft, task) => {
  recordMiss(draft, task.id, task.worker_id ?? '')
  requeue(draft, task, {began: false, keepsBackoffs: true})
}

/** How a lease ends now, if it does. */
function endOf(state: State, lease: Lease): End | undefined {
  if (lease.cancelledAt !== undefined && lease.cancelledAt <= state.time) return cancelUnconfirmed
  if (lease.isLost) return (lease.failsAt ?? Number.POSITIVE_INFINITY) <= state.time ? failLost : undefined
  if (!hasLeases(state, lease)) return endWithoutLeases(state, lease)
  if (lease.until > state.time) return undefined
  return lease.isConfirmed ? expire : lapseAssignment
}

const hasLeases = (state: State, {workerId}: Lease) => profileOf(state, workerId).hasLeases

/**
 * A worker without leases (the Python one) reports the end of a run once. It sends nothing while it runs a task with a
 * long tool call: its silence about a task means something only if it may have missed reporting.
 */
function endWithoutLeases(state: State, {workerId, doubtfulSince}: Lease): End | undefined {
  const {silentWorkerMs} = state.policy
  if (!state.get('connection', workerId) && silentMs(state, workerId) >= silentWorkerMs) return expire
  const isOver = doubtfulSince !== undefined && state.time - doubtfulSince >= silentWorkerMs
  return isOver ? requeue : undefined
}
