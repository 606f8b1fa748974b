import type {RunningAgent, RunObserver, StopReason} from '../../executor/executor.ts'
import type {Task} from '../../protocol/schemas.ts'
import {isRegistrationTask} from '../registration/registration-tasks.ts'
import type {ActiveTask} from './active-task.ts'
import type {Confirmation} from '../claim/confirm.ts'

/** An assignment that has waited here for longer is confirmed before anything is started. */
const freshMs = 2000
/** The confirmation is sent when the agent was started, so as not to delay it, or after this time. */
const headStartMs = 250
/** What was begun for a task that is not ours ends without a long grace period. */
const graceMs = 1000

/**
 * Whether the run of an assignment may start before it is confirmed. Only this machine has the working tree of a
 * codebase, and its lock is held. Other tasks may be with another machine meanwhile. A short frame has no prompt.
 */
export const startsUnconfirmed = (task: Task, active: ActiveTask, ageMs: number): boolean =>
  task.prompt !== '' && !active.isPortable && !isRegistrationTask(task) && ageMs < freshMs

/** Resolves when the agent was started, or could not be, and at the latest after a moment. */
export function untilStarted(sleep: (ms: number) => Promise<void>) {
  const {promise, resolve} = Promise.withResolvers<void>()
  return {
    /** Wraps the function that starts the agent. */
    watch:
      (start: (observer: RunObserver) => Promise<RunningAgent>) =>
      async (observer: RunObserver): Promise<RunningAgent> => {
        try {
          return await start(observer)
        } finally {
          resolve()
        }
      },
    done: () => Promise.race([promise, sleep(headStartMs)]),
  }
}

/**
 * Why a run must end whose assignment was not confirmed. It returns to the queue: the control plane may have received the
 * confirmation, and refuses the report otherwise. `isKnown`: output or a heartbeat was acknowledged, which confirms it too.
 */
export function stopReasonOf(confirmation: Confirmation, isKnown: boolean): StopReason | undefined {
  if (confirmation === 'confirmed' || ('late' in confirmation && isKnown)) return undefined
  const error = 'lost' in confirmation ? confirmation.lost : confirmation.late
  return {status: 'failed', error, requeues: true, isUncounted: true, graceMs}
}
