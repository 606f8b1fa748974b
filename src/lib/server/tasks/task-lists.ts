import * as v from 'valibot'
import {globalCodebase, pendingCodebase} from '../../protocol/routes.ts'
import type {Task} from '../../protocol/schemas.ts'
import {readCursor, readLimit, toCursor} from '../http/paging.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {PendingTask, StoredTask, TaskQuery} from '../store/store.ts'
import {wireTask} from '../streams/task-view.ts'
import {whyWaiting} from '../dispatch/waiting.ts'

const defaultLimit = 100
const place = v.pipe(
  v.tuple([v.number(), v.number()]),
  v.transform(([priority, n]) => ({priority, n})),
)
/** A page ends early when its texts are this long: prompts may have a megabyte each. */
const maxPageChars = 8 * 1024 * 1024

export type ListQuery = Omit<TaskQuery, 'after'> & {limit?: string | undefined; cursor?: string | undefined}

/** A page of tasks, and where the next one begins. */
export function listTasks(parts: Parts, {limit, cursor, ...query}: ListQuery): {tasks: Task[]; next?: string} {
  const tasks: Task[] = []
  const most = readLimit(limit, defaultLimit)
  const after = readCursor(cursor, place)
  let last: StoredTask | undefined
  let chars = 0
  for (const task of parts.store.tasks.list({...query, after})) {
    if (last && (tasks.length >= most || chars > maxPageChars)) return {tasks, next: toCursor([last.priority, last.n])}
    tasks.push(wireTask(task, whyWaiting(task, parts)))
    chars += task.prompt.length + (task.result?.length ?? 0)
    last = task
  }

  return {tasks}
}

/**
 * What a worker that polls may take now: nothing that is offered to another, one task a working tree. The existing
 * worker polls without saying who it is and runs all that it gets, so for everybody it is the same, over all codebases.
 */
export function takeableTasks(parts: Parts, workerId?: string): Task[] {
  const {store, roster} = parts
  const codebases =
    workerId === undefined
      ? [...store.registry.codebases().map(({id}) => id), globalCodebase, pendingCodebase]
      : roster.codebasesOf(workerId)
  const found: PendingTask[] = []
  const trees = new Set<string>()
  for (const codebaseId of codebases) {
    const tree = roster.treeOf(codebaseId)
    if (tree !== undefined && trees.has(tree)) continue
    const most = tree === undefined ? defaultLimit : 1
    const heads = headsOf(parts, codebaseId, {workerId, most})
    if (tree !== undefined && heads.length > 0) trees.add(tree)
    found.push(...heads)
  }

  return found
    .sort((a, b) => b.priority - a.priority || a.n - b.n)
    .slice(0, defaultLimit)
    .flatMap(({id}) => store.tasks.get(id) ?? [])
    .map((task) => wireTask(task, whyWaiting(task, parts)))
}

type Heads = {workerId: string | undefined; most: number}

function headsOf({store, dispatch, roster, clock}: Parts, codebaseId: string, {workerId, most}: Heads): PendingTask[] {
  const occupant = dispatch.occupantOf(codebaseId)
  const heads: PendingTask[] = []
  for (const task of store.tasks.pendingOf(codebaseId)) {
    if (occupant !== undefined && occupant !== task.id) continue
    if (isForThem(task)) heads.push(task)
    if (heads.length >= most || occupant === task.id) break
  }

  return heads

  function isForThem({id, required}: PendingTask): boolean {
    const offer = dispatch.offers.get(id)
    if (offer && offer.workerId !== workerId) return false
    if (workerId === undefined) return true
    const holdoff = dispatch.holdoffs.get(id, workerId)
    if (holdoff?.reason !== undefined && holdoff.until > clock.monotonic()) return false
    return !required?.some((wanted) => !roster.profile(workerId).capabilities.includes(wanted))
  }
}
