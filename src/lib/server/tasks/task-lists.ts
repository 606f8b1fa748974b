import * as v from 'valibot'
import type {Task} from '../../protocol/schemas.ts'
import {fillPage, readCursor, readLimit, toCursor} from '../http/paging.ts'
import type {Plane} from '../plane/plane.ts'
import type {StoredTask} from '../state/records.ts'
import type {TaskQuery} from '../store/views.ts'
import {wireTask} from '../streams/task-view.ts'
import {questionsOf, waitingReason} from './waiting.ts'

const defaultLimit = 100
const place = v.pipe(
  v.tuple([v.number(), v.number()]),
  v.transform(([priority, n]) => ({priority, n})),
)
export type ListQuery = Omit<TaskQuery, 'after'> & {limit?: string | undefined; cursor?: string | undefined}

/** A task as lists show it: with why it waits, and what it asks. */
export const listedTask =
  (plane: Plane) =>
  (task: Readonly<StoredTask>): Task => ({
    ...wireTask(task, waitingReason(task, plane.state)),
    ...questionsOf(task, plane.state),
  })

/** Returns a page of tasks, and the cursor of the next one. */
export function listTasks(plane: Plane, {limit, cursor, ...query}: ListQuery): {tasks: Task[]; next?: string} {
  const found = plane.views.tasks.list({...query, after: readCursor(cursor, place)})
  const page = fillPage(found, readLimit(limit, defaultLimit), listedTask(plane))
  const {last, hasMore} = page
  return {tasks: page.shown, ...(last && hasMore ? {next: toCursor([last.priority, last.n])} : {})}
}

/** As many of these tasks as fit in an answer. The worker polls again when it has taken them. */
export const tasksById = (plane: Plane, ids: readonly string[]): Task[] =>
  fillPage(readTasks(plane, ids), defaultLimit, listedTask(plane)).shown

/** Reads one task after the other: their prompts need not all be in memory. */
function* readTasks({state}: Plane, ids: readonly string[]): Generator<StoredTask> {
  for (const id of ids) {
    const task = state.get('task', id)
    if (task) yield task
  }
}
