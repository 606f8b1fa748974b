import {isFinal, type Task, type TaskStatus} from '../../../protocol/schemas.ts'
import {globalCodebase, pendingCodebase} from '../../../protocol/routes.ts'
import type {Plane} from '../../plane/plane.ts'
import type {State} from '../../state/state.ts'
import {all, type StoredTask} from '../../state/records.ts'
import {nameOf} from '../../rules/dispatch/roster.ts'
import {listedTask} from '../../tasks/task-lists.ts'

/** A task as lists show it. Times are those of the wire. */
export type TaskRow = {
  id: string
  title: string
  status: TaskStatus
  /** It runs, and somebody must answer what it asks. */
  asks: boolean
  isLost: boolean
  isCancelling: boolean
  /** `isKnown`: it has a page. */
  codebase: {id: string; name: string; isKnown: boolean}
  worker: string | null
  waiting: string | null
  created_at: string | null
  started_at: string | null
  completed_at: string | null
  cost: number | null
  error: string | null
}

export const taskRow = (plane: Plane, task: Readonly<StoredTask>): TaskRow =>
  rowOf(plane.state, listedTask(plane)(task))

/** The row of a task that a list of the API has. */
export function rowOf(state: State, task: Task): TaskRow {
  const {id, title, status, worker_id, created_at, started_at, completed_at} = task
  return {
    ...{id, title, status, created_at, started_at, completed_at},
    asks: (task.waiting_for?.length ?? 0) > 0,
    isLost: task.lost_since !== null,
    isCancelling: task.cancel_requested_at !== null && !isFinal(status),
    codebase: codebaseOf(state, task.codebase_id),
    worker: worker_id === null ? null : nameOf(state, worker_id),
    waiting: task.waiting,
    cost: task.usage?.cost ?? null,
    error: status === 'failed' ? task.error : null,
  }
}

function codebaseOf(state: State, id: string): TaskRow['codebase'] {
  if (id === globalCodebase) return {id, name: 'no codebase', isKnown: state.count('workers', all) > 0}
  if (id === pendingCodebase) return {id, name: 'registration', isKnown: false}
  const known = state.get('codebase', id)
  return {id, name: known?.name ?? id, isKnown: known !== undefined}
}
