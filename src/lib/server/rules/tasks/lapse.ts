import type {Draft, Rule} from '../../state/draft.ts'
import {all, pair, type Lease, type StoredTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {fill, placeById} from '../dispatch/assignment.ts'
import {recordMiss} from '../dispatch/backoffs.ts'
import {endsOf, type LeaseEnd} from '../dispatch/due.ts'
import {failUntakenRegistrations} from './registration-tasks.ts'
import {nameOf} from '../dispatch/roster.ts'
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

/** What is done at the end of a lease. */
const ends: Record<LeaseEnd['how'], End> = {
  cancel: (draft, task) =>
    finish(draft, task, 'cancelled', {
      error: `its worker, ${nameOf(draft, task.worker_id ?? '')}, cannot be stopped: its agent may still run`,
    }),
  fail: (draft, task) => finish(draft, task, 'failed', {error: `worker lost since ${task.lost_since}`}),
  expire,
  /** The worker did not confirm the assignment: it goes to another one, or to the same one after a pause. */
  lapse(draft, task) {
    recordMiss(draft, task.id, task.worker_id ?? '')
    requeue(draft, task, {began: false, keepsBackoffs: true})
  },
  requeue,
}

/** How a lease ends now, if it does. */
function endOf(state: State, lease: Lease): End | undefined {
  const due = endsOf(state, lease).find(({at}) => at <= state.time)
  return due && ends[due.how]
}
