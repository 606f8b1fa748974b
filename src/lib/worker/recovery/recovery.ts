import {limiter} from '../../core/limiter.ts'
import type {Emit} from '../../events/bus.ts'
import {scanProcesses} from '../../executor/processes/process-scan.ts'
import type {Journal} from '../../journal/journal.ts'
import type {OrphanReaper} from './orphans.ts'
import type {RecoverRun} from './recover-run.ts'

/** How many dead runs are inspected and reported at once. After a long outage there may be thousands. */
const maxConcurrent = 16

type RecoveryOptions = {journal: Journal; emit: Emit; orphans: OrphanReaper; recoverRun: RecoverRun}

/**
 * Recovers the runs of an earlier process of this worker. A live agent is adopted. A run that has ended is judged by its
 * output. A run whose agent died is resumed or requeued. A report that was not acknowledged is sent. Processes of runs
 * that are not in the journal are ended. Returns as soon as all runs are active, so that the first heartbeat lists them.
 */
export function recover({journal, emit, orphans, recoverRun}: RecoveryOptions): void {
  const runs = journal.unfinished((taskId) => {
    const text = `The journal entry of task ${taskId} is damaged. The control plane will requeue the task.`
    emit({type: 'notice', level: 'error', text})
  })
  const pass = {processes: scanProcesses(), limit: limiter(maxConcurrent)}
  orphans.endUnknown(runs, pass.processes)
  for (const run of runs) recoverRun(run, pass)
}
