import type {RunOutcome} from '../../executor/executor.ts'
import {isFinal, type StatusUpdate, type Task} from '../../protocol/schemas.ts'

type Attempt = Pick<Task, 'attempt'>

/** The `attempt` field of a report. A server without attempts is sent none. */
export const attemptField = ({attempt}: Attempt) => (attempt > 0 ? {attempt} : {})

/** The final report of a run, as the journal stores it. */
export function finalReportOf(run: Attempt, outcome: RunOutcome, workerId: string): StatusUpdate {
  if (!isFinal(outcome.status)) throw new Error(`a run cannot end as ${outcome.status as string}`)
  return {
    status: outcome.status,
    worker_id: workerId,
    result: outcome.result,
    error: outcome.error,
    session_id: outcome.sessionId,
    usage: outcome.usage,
    ...attemptField(run),
  }
}

/**
 * The report of a run that did not finish here: the task returns to the queue. `began`: false if the run never began. The
 * attempt then does not count.
 */
export const requeueReportOf = (run: Attempt, reason: string, workerId: string, {began = true} = {}): StatusUpdate => ({
  status: 'pending',
  worker_id: workerId,
  error: reason,
  ...(began ? {} : {began}),
  ...attemptField(run),
})
