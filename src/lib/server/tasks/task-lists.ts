import * as v from 'valibot'
import type {Task} from '../../protocol/schemas.ts'
import {fillPage, readCursor, readLimit, toCursor} from '../http/paging.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask, TaskQuery} from '../store/store.ts'
import {wireTask} from '../streams/task-view.ts'
import {waitingReason} from '../dispatch/waiting.ts'

export const defaultLimit = 100
const place = v.pipe(
  v.tuple([v.number(), v.number()]),
  v.transform(([priority, n]) => ({priority, n})),
)
export type ListQuery = Omit<TaskQuery, 'after'> & {limit?: string | undefined; cursor?: string | undefined}

/** Returns a page of tasks, and the cursor of the next one. */
export function listTasks(parts: Parts, {limit, cursor, ...query}: ListQuery): {tasks: Task[]; next?: string} {
  const found = parts.store.tasks.list({...query, after: readCursor(cursor, place)})
  const show = (task: StoredTask) => wireTask(task, waitingReason(task, parts))
  const {shown, last, hasMore} = fillPage(found, readLimit(limit, defaultLimit), show)
  return {tasks: shown, ...(last && hasMore ? {next: toCursor([last.priority, last.n])} : {})}
}
