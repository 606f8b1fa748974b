import {taskStatuses} from '../../../protocol/schemas.ts'
import {pathOf} from '../../http/page-rights.ts'
import type {Plane} from '../../plane/plane.ts'
import {listCodebases} from '../../registry/codebase-list.ts'
import {sharedCodebasesOf} from '../../rules/dispatch/boundary.ts'
import {listTasks, type ListQuery} from '../../tasks/task-lists.ts'
import {rowOf, type TaskRow} from './task-rows.ts'
import type {Viewer} from './viewer.ts'

/** Tasks on one page of a list. */
const pageSize = 50
/** Codebases in the filter. */
const maxCodebases = 300

/** The list of tasks: what was asked for, and a page of it. */
export type TaskList = {
  query: {status: string; codebase: string; q: string}
  isFirst: boolean
  rows: TaskRow[]
  /** The address of the next page. */
  next: string | undefined
  codebases: {id: string; name: string}[]
  now: number
}

type Query = Record<string, string>

/** Reads a page of the list of tasks. */
export function taskList(plane: Plane, viewer: Viewer, {status = '', codebase = '', q = '', cursor}: Query): TaskList {
  const {state} = plane
  const {only} = viewer
  const known = taskStatuses.find((one) => one === status)
  const query: ListQuery = {
    ...{status: known, codebase_id: codebase || undefined, order: 'newest', limit: String(pageSize), cursor},
    ...(only === undefined ? {} : {readable_by: {worker_id: only, shared_codebases: sharedCodebasesOf(state, only)}}),
  }
  const {tasks, next} = search(plane, query, q.trim())
  return {
    query: {status: known ?? '', codebase, q},
    isFirst: cursor === undefined,
    rows: tasks.map((task) => rowOf(state, task)),
    next: next && pathOf('tasks', {}, {status: known, codebase, q, cursor: next}),
    codebases: listCodebases(state, {includeDuplicates: false, only}).slice(0, maxCodebases),
    now: state.now,
  }
}

/** By the beginning of an id, or by a part of the title. */
function search(plane: Plane, query: ListQuery, text: string): ReturnType<typeof listTasks> {
  if (text === '') return listTasks(plane, query)
  const isId = /^[\da-f-]{4,36}$/i.test(text)
  const byId = isId ? listTasks(plane, {...query, id_prefix: text.toLowerCase()}) : undefined
  return byId && byId.tasks.length > 0 ? byId : listTasks(plane, {...query, title: text})
}
