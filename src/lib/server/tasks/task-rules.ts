import type {FinalStatus, TaskStatus} from '../../protocol/schemas.ts'
import {isFinal} from '../../protocol/schemas.ts'
import type {StoredTask} from '../store/store.ts'

/** What somebody says about a task. `attempt` is missing in the reports of an existing worker. */
export type Report = {status: TaskStatus; workerId: string; attempt: number | null}

export type Ruling =
  | {do: 'claim' | 'attach' | 'release' | 'request-cancel' | 'nothing'}
  | {do: 'finish'; status: FinalStatus}
  | {do: 'refuse'; detail: string}

type Situation = 'pending' | 'held' | 'foreign' | 'final'
type Rule = (task: StoredTask, report: Report) => Ruling

const claim: Rule = () => ({do: 'claim'})
const attach: Rule = () => ({do: 'attach'})
const release: Rule = () => ({do: 'release'})
const nothing: Rule = () => ({do: 'nothing'})
const requestCancel: Rule = () => ({do: 'request-cancel'})
const finish: Rule = (_, {status}) =>
  isFinal(status) ? {do: 'finish', status} : {do: 'refuse', detail: `${status} is no end`}
const unclaimed: Rule = (task) => ({do: 'refuse', detail: `Task ${task.id} is pending: nobody holds it`})
const foreign: Rule = (task) => ({
  do: 'refuse',
  detail: `Task ${task.id} is held by worker ${task.worker_id} (attempt ${task.attempt})`,
})
const over: Rule = (task) => ({do: 'refuse', detail: `Task ${task.id} is already ${task.status}`})

/** A worker may refuse a task that it never ran; a late failure of a former run must not end the next one. */
const failUnclaimed: Rule = (task, report) =>
  report.attempt !== null || task.attempt === 1 ? finish(task, report) : unclaimed(task, report)
/** The answer to a final report may have been lost: the same report again is fine. */
const again: Rule = (task, report) =>
  task.status === report.status && task.worker_id === report.workerId ? {do: 'nothing'} : over(task, report)

type Wanted = 'running' | 'completed' | 'failed' | 'cancelled' | 'pending'

/**
 * Who may move a task where. `held`: running, by the reporter; `foreign`: running, by somebody else. A task that is
 * to be cancelled while it runs stays `running` until its holder says that nothing of it is alive.
 */
const rules: Record<Situation, Record<Wanted, Rule>> = {
  pending: {running: claim, completed: unclaimed, failed: failUnclaimed, cancelled: finish, pending: nothing},
  held: {running: attach, completed: finish, failed: finish, cancelled: finish, pending: release},
  foreign: {running: foreign, completed: foreign, failed: foreign, cancelled: requestCancel, pending: foreign},
  final: {running: over, completed: again, failed: again, cancelled: again, pending: over},
}

/** What a report does to a task. Pure: the caller carries it out. */
export function rule(task: StoredTask, report: Report): Ruling {
  if (report.status === 'assigned') return {do: 'nothing'}
  if (report.attempt !== null && report.attempt !== task.attempt)
    return {
      do: 'refuse',
      detail: `Task ${task.id} is at attempt ${task.attempt}, now ${task.status}; this is a report of attempt ${report.attempt}`,
    }
  return rules[situation(task, report.workerId)][report.status](task, report)
}

function situation(task: StoredTask, workerId: string): Situation {
  if (isFinal(task.status)) return 'final'
  if (task.status !== 'running') return 'pending'
  return task.worker_id === workerId ? 'held' : 'foreign'
}

/** Tasks of these kinds are tied to no machine: when their holder is lost, another worker takes them. */
export const isPortable = (task: Pick<StoredTask, 'codebase_id' | 'agent_type'>) =>
  ['global', '__pending__'].includes(task.codebase_id) || ['echo', 'noop'].includes(task.agent_type)
