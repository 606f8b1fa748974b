import * as v from 'valibot'
import type {Task} from '../../protocol/schemas.ts'
import {readCursor, readLimit, toCursor} from '../http/paging.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask, TaskQuery} from '../store/store.ts'
import {wireTask} from '../streams/task-view.ts'
import {waitingReason} from '../dispatch/waiting.ts'

export const defaultLimit = 100
const place = v.pipe(
  v.tuple([v.number(), v.number()]),
  v.transform(([priority, n]) => ({priority, n})),
)
/** A page ends early at this total length of its texts. A prompt alone may have a megabyte. */
const maxPageChars = 8 * 1024 * 1024

export type ListQuery = Omit<TaskQuery, 'after'> & {limit?: string | undefined; cursor?: string | undefined}

/** Returns a page of tasks, and the cursor of the next one. */
export function listTasks(parts: Parts, {limit, cursor, ...query}: ListQuery): {tasks: Task[]; next?: string} {
  const tasks: Task[] = []
  const max = readLimit(limit, defaultLimit)
  const after = readCursor(cursor, place)
  let last: StoredTask | undefined
  let chars = 0
  for (const task of parts.store.tasks.list({...query, after})) {
    if (last && (tasks.length >= max || chars > maxPageChars)) return {tasks, next: toCursor([last.priority, last.n])}
    tasks.push(wireTask(task, waitingReason(task, parts)))
    chars += task.prompt.length + (task.result?.length ?? 0)
    last = task
  }

  return {tasks}
}
