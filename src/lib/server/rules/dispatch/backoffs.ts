import type {Draft} from '../../state/draft.ts'
import {pair, type Backoff} from '../../state/records.ts'
import type {State} from '../../state/state.ts'

const maxPauseMs = 60_000
/** A worker that declined a task is not given it again for this long, unless it connects or registers again. */
const declineMs = 1000
const maxDeclineMs = 16_000

/** Until when the task is not given to the worker, if so. */
export const backoffOf = (state: State, taskId: string, workerId: string): Backoff | undefined =>
  state.get('backoff', pair(taskId, workerId))

/** The worker neither claimed nor confirmed the task in time. It is given it again after a pause that doubles each time. */
export function recordMiss(draft: Draft, taskId: string, workerId: string): void {
  const known = backoffOf(draft, taskId, workerId)
  const pauseMs = known ? Math.min(maxPauseMs, known.pauseMs * 2) : draft.policy.offerMs
  const missed = (known?.missed ?? 0) + 1
  const declined = known?.declined ?? 0
  put(draft, {
    ...{taskId, workerId, until: draft.time + pauseMs, pauseMs, missed, declined},
    ...{reason: undefined, isOver: false},
  })
}

/** `forMs`: the worker does not want it for so long. Undefined: it does not say, and the pause doubles each time. */
export function recordDecline(
  draft: Draft,
  {taskId, workerId, reason, forMs}: {taskId: string; workerId: string; reason: string; forMs?: number | undefined},
): void {
  const {pauseMs = maxPauseMs, missed = 0, declined = 0} = backoffOf(draft, taskId, workerId) ?? {}
  const until = draft.time + (forMs ?? Math.min(maxDeclineMs, declineMs * 2 ** declined))
  put(draft, {taskId, workerId, until, pauseMs, missed, declined: declined + 1, reason, isOver: false})
}

export function forgetBackoffsOf(draft: Draft, taskId: string): void {
  for (const {workerId} of [...draft.find('backoffsOfTask', taskId)]) draft.remove('backoff', pair(taskId, workerId))
}

/** The worker has connected or registered again, so its backoffs no longer apply. */
export function forgetBackoffsOfWorker(draft: Draft, workerId: string): void {
  for (const {taskId} of [...draft.find('backoffsOfWorker', workerId)]) draft.remove('backoff', pair(taskId, workerId))
}

/** Reasons by worker, of the workers that declined the task and have not returned since. */
export function declinersOf(state: State, taskId: string): Map<string, string> {
  const reasons = new Map<string, string>()
  for (const {workerId, reason} of state.find('backoffsOfTask', taskId))
    if (reason !== undefined) reasons.set(workerId, reason)
  return reasons
}

const put = (draft: Draft, backoff: Backoff) => draft.put('backoff', pair(backoff.taskId, backoff.workerId), backoff)
