import type {ControlPlaneClient} from '../../client/control-plane.ts'
import type {Clock} from '../../core/clock.ts'
import type {ActiveTask} from './active-task.ts'
import {stopReasonFor} from './cancellation.ts'
import {attemptField} from './reports.ts'
import type {Run} from './run-setup.ts'

/** Reports the session of a run while the run goes on. */
export type ReportSession = (run: Run, active: ActiveTask, sessionId: string, ended: AbortSignal) => Promise<void>

type SessionReportOptions = {
  client: ControlPlaneClient
  clock: Clock
  workerId: string
  /** Aborted when nothing may be sent any more. */
  signal: AbortSignal
}

/** A run that ends within this time names its session in its report only. That saves a request. */
const delayMs = 100

export const sessionReporter =
  ({client, clock, workerId, signal}: SessionReportOptions): ReportSession =>
  async ({task_id: id, attempt}, active, sessionId, ended) => {
    if (attempt > 0) await clock.sleep(delayMs, ended)
    if (attempt > 0 && (ended.aborted || signal.aborted)) return
    // A server without attempts would let `running` undo a cancellation that was requested meanwhile.
    const reason = attempt === 0 ? stopReasonFor(await client.task(id, signal), attempt, workerId) : undefined
    if (reason) {
      active.stop ??= reason
      active.agent?.stop(reason)
      return
    }

    const update = {status: 'running', worker_id: workerId, session_id: sessionId, ...attemptField({attempt})}
    await client.updateStatus(id, update, signal)
    active.isAcknowledged = true
  }
