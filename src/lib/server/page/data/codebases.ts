import {globalCodebase} from '../../../protocol/routes.ts'
import type {Codebase} from '../../../protocol/schemas.ts'
import type {Message} from '../../../protocol/session-schemas.ts'
import {pathOf} from '../../http/page-rights.ts'
import type {Plane} from '../../plane/plane.ts'
import {listCodebases, shownCodebase} from '../../registry/codebase-list.ts'
import {sharedCodebasesOf} from '../../rules/dispatch/boundary.ts'
import {nameOf} from '../../rules/dispatch/roster.ts'
import {listSessions, type wireSession} from '../../sessions/session-view.ts'
import {all} from '../../state/records.ts'
import {listTasks} from '../../tasks/task-lists.ts'
import {rowOf, type TaskRow} from './task-rows.ts'
import type {Viewer} from './viewer.ts'

/** Codebases, sessions, messages and tasks on one page. */
export const pageSize = 50
export type CodebaseList = {
  codebases: (Codebase & {worker: string | null})[]
  /** How many there are in all, and which page this is, from 0 on. */
  total: number
  page: number
  workers: number
  /** Where workers reach the control plane. */
  address: string
}

type Session = ReturnType<typeof wireSession>
export type CodebaseDetails = {
  codebase: Codebase
  worker: string | null
  counts: Record<string, number> | undefined
  tasks: TaskRow[]
  sessions: Session[]
  nextSessions: string | undefined
  now: number
}

export type SessionDetails = {
  codebase: Codebase
  session: Session
  messages: Message[]
  older: string | undefined
  needsSignature: boolean
  now: number
}

/** Reads a page of the list of codebases. */
export function codebaseList(
  {state}: Plane,
  {only}: Viewer,
  {page, address}: {page: number; address: string},
): CodebaseList {
  const known = listCodebases(state, {includeDuplicates: false, only})
  const sorted = known.toSorted((a, b) => Number(b.served) - Number(a.served) || a.name.localeCompare(b.name, 'en'))
  return {
    codebases: sorted.slice(page * pageSize, (page + 1) * pageSize).map((codebase) => ({
      ...codebase,
      worker: codebase.worker_id === null ? null : nameOf(state, codebase.worker_id),
    })),
    ...{total: known.length, page, address},
    workers: state.count('connections', all),
  }
}

/** Reads what the page of a codebase shows. Throws 404. */
export function codebaseDetails(plane: Plane, {only}: Viewer, id: string, cursor: string | undefined): CodebaseDetails {
  const {state, views} = plane
  const codebase = shownCodebase(state, id)
  const reader =
    only === undefined ? {} : {readable_by: {worker_id: only, shared_codebases: sharedCodebasesOf(state, only)}}
  const {tasks} = listTasks(plane, {codebase_id: id, order: 'newest', limit: '10', ...reader})
  const hasSessions = id !== globalCodebase || state.count('knownWorkers', all) > 0
  const query = {limit: String(pageSize), cursor}
  const {sessions, next} = hasSessions
    ? listSessions(plane, {codebaseId: id, only}, query)
    : {sessions: [], next: undefined}
  return {
    codebase,
    worker: codebase.worker_id === null ? null : nameOf(state, codebase.worker_id),
    counts: only === undefined ? views.tasks.counts(id) : undefined,
    tasks: tasks.map((task) => rowOf(state, task)),
    sessions,
    nextSessions: next && pathOf('codebase', {codebase: id}, {cursor: next}),
    now: state.now,
  }
}
