import type {FinalStatus, TaskStatus} from '../../../protocol/schemas.ts'
import {isFinal} from '../../../protocol/schemas.ts'
import type {StoredTask} from '../../state/records.ts'

/**
 * A report about a task. The existing worker sends no `attempt`. `bounded`: it came with a worker's token, which ends
 * nothing that its worker does not hold.
 */
export type Report = {status: TaskStatus; workerId: string; attempt: number | null; bounded?: boolean}

export type Ruling =
  | {do: 'claim' | 'attach' | 'release' | 'request-cancel' | 'nothing'}
  | {do: 'finish'; status: FinalStatus}
  | {do: 'refuse'; detail: string}

type Situation = 'pending' | 'held' | 'foreign' | 'final'
type Rule = (task: Readonly<StoredTask>, report: Report) => Ruling

const claim: Rule = () => ({do: 'claim'})
const attach: Rule = () => ({do: 'attach'})
const release: Rule = () => ({do: 'release'})
const nothing: Rule = () => ({do: 'nothing'})
const finish: Rule = (_, {status}) =>
  isFinal(status) ? {do: 'finish', status} : {do: 'refuse', detail: `${status} is no end`}
const unclaimed: Rule = (task) => ({do: 'refuse', detail: `Task ${task.id} is pending: nobody holds it`})
const foreign: Rule = (task) => ({
  do: 'refuse',
  detail: `Task ${task.id} is held by worker ${task.worker_id} (attempt ${task.attempt})`,
})
const cancelForeign: Rule = (task, report) => (report.bounded ? foreign(task, report) : {do: 'request-cancel'})
const over: Rule = (task) => ({do: 'refuse', detail: `Task ${task.id} is already ${task.status}`})

/** A worker may refuse a task that it never ran. A late failure of an earlier run must not end the next one. */
const failUnclaimed: Rule = (task, report) =>
  !report.bounded && (report.attempt !== null || task.attempt === 1) ? finish(task, report) : unclaimed(task, report)
const cancelUnclaimed: Rule = (task, report) => (report.bounded ? unclaimed(task, report) : finish(task, report))
/** Accepts a repeated final report: the first answer may have been lost. */
const again: Rule = (task, report) =>
  task.status === report.status && task.worker_id === report.workerId ? {do: 'nothing'} : over(task, report)

type Wanted = 'running' | 'completed' | 'failed' | 'cancelled' | 'pending'

/**
 * Which transition a report may cause. `held`: running on the reporter or assigned to it; `foreign`: to another worker. A running
 * task with a requested cancellation stays `running` until its holder reports that no process of it is alive.
 */
const rules: Record<Situation, Record<Wanted, Rule>> = {
  pending: {running: claim, completed: unclaimed, failed: failUnclaimed, cancelled: cancelUnclaimed, pending: nothing},
  held: {running: attach, completed: finish, failed: finish, cancelled: finish, pending: release},
  foreign: {running: foreign, completed: foreign, failed: foreign, cancelled: cancelForeign, pending: foreign},
  final: {running: over, completed: again, failed: again, cancelled: again, pending: over},
}

/** What a report does to a task. A pure function: the caller applies the ruling. */
export function rule(task: Readonly<StoredTask>, report: Report): Ruling {
  if (report.status === 'assigned') return {do: 'nothing'}
  if (report.attempt !== null && report.attempt !== task.attempt)
    return {
      do: 'refuse',
      detail: `Task ${task.id} is at attempt ${task.attempt}, now ${task.status}; this is a report of attempt ${report.attempt}`,
    }
  return rules[situation(task, report.workerId)][report.status](task, report)
}

function situation(task: Readonly<StoredTask>, workerId: string): Situation {
  if (isFinal(task.status)) return 'final'
  if (task.status === 'pending') return 'pending'
  return task.worker_id === workerId ? 'held' : 'foreign'
}

/** Whether a task is tied to no machine. When its holder is lost, another worker takes it. */
export const isPortable = (task: Pick<StoredTask, 'codebase_id' | 'agent_type'>) =>
  ['global', '__pending__'].includes(task.codebase_id) || ['echo', 'noop'].includes(task.agent_type)
