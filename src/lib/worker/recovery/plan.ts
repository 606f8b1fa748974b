import type {Config} from '../../config/settings.ts'
import type {JournalledRun} from '../../journal/journalled-run.ts'
import type {RunRecord} from '../../opencode/output/record.ts'
import type {StatusUpdate} from '../../protocol/schemas.ts'
import type {Lock} from '../locks/lock-file.ts'
import type {WorkingTreeLocks} from '../locks/working-tree-locks.ts'
import {readSpool, savedReport} from './inspect-run.ts'

/** What to do with a run of an earlier process whose agent is not alive. */
export type Plan =
  | {do: 'report'; report: StatusUpdate} // the run is over, only its report was not acknowledged
  | {do: 'judge'; record: RunRecord; error: string} // the agent has ended, or must not be continued
  | {do: 'resume'; record: RunRecord; treeLock: Lock} // the agent died with the worker; its session continues
  | {do: 'requeue'; record: RunRecord; reason: string} // another run begins from the start

export type PlanRun = (run: JournalledRun) => Promise<Plan>

type PlanOptions = {
  config: Config
  treeLocks: WorkingTreeLocks
  redact: (text: string) => string
  /** Whether the control plane still waits for this run. A report may have been sent that could not be stored here. */
  isOurs: (run: JournalledRun) => Promise<boolean>
}

export const recoveryPlanner =
  (options: PlanOptions): PlanRun =>
  async (run) => {
    const report = savedReport(run)
    if (report) return {do: 'report', report}
    const record = await readSpool(run, options.redact)
    if (record.finished) return {do: 'judge', record, error: ''}
    if (!(await options.isOurs(run)))
      return {do: 'judge', record, error: 'the control plane does not wait for this run any more'}
    return planForDeadAgent(run, record, options)
  }

function planForDeadAgent(run: JournalledRun, record: RunRecord, {config, treeLocks}: PlanOptions): Plan {
  const error = 'the worker was ended while the task ran, and its agent with it'
  // An attempt that never began is no try.
  const tries = run.resumes + Math.max(run.attempt - run.returns, 1)
  if (config.on_interrupt === 'fail') return {do: 'judge', record, error}
  if (tries >= config.max_attempts) return {do: 'judge', record, error: `${error}, for the ${tries}. time`}
  const hasOutput = record.events > 0
  if (!hasOutput) return {do: 'requeue', record, reason: 'its agent had not begun'}
  if (config.on_interrupt === 'requeue') return {do: 'requeue', record, reason: error}
  const treeLock = record.sessionId === null ? undefined : treeLocks.reacquire(run.path, run.task_id, undefined)
  return treeLock ? {do: 'resume', record, treeLock} : {do: 'requeue', record, reason: error}
}
