import * as v from 'valibot'
import {globalCodebase, pendingCodebase} from '../../protocol/routes.ts'
import type {Task} from '../../protocol/schemas.ts'
import {readCursor, readLimit, toCursor} from '../http/paging.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {PendingTask, StoredTask, TaskQuery} from '../store/store.ts'
import {wireTask} from '../streams/task-view.ts'
import {waitingReason} from '../dispatch/waiting.ts'

const defaultLimit = 100
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

/**
 * The tasks that a polling worker may take now: none that is offered to another worker, and one per working tree. The
 * existing worker polls without its id and runs every task it gets. For such polls the rule spans all codebases.
 */
export function claimableTasks(parts: Parts, workerId?: string): Task[] {
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
    const max = tree === undefined ? defaultLimit : 1
    const heads = headsOf(parts, codebaseId, {workerId, max})
    if (tree !== undefined && heads.length > 0) trees.add(tree)
    found.push(...heads)
  }

  return found
    .sort((a, b) => b.priority - a.priority || a.n - b.n)
    .slice(0, defaultLimit)
    .flatMap(({id}) => store.tasks.get(id) ?? [])
    .map((task) => wireTask(task, waitingReason(task, parts)))
}

type Heads = {workerId: string | undefined; max: number}

function headsOf({store, dispatch, roster, clock}: Parts, codebaseId: string, {workerId, max}: Heads): PendingTask[] {
  const occupant = dispatch.occupantOf(codebaseId)
  const heads: PendingTask[] = []
  for (const task of store.tasks.pendingOf(codebaseId)) {
    if (occupant !== undefined && occupant !== task.id) continue
    if (isClaimable(task)) heads.push(task)
    if (heads.length >= max || occupant === task.id) break
  }

  return heads

  function isClaimable({id, required}: PendingTask): boolean {
    const offer = dispatch.offers.get(id)
    if (offer && offer.workerId !== workerId) return false
    if (workerId === undefined) return true
    const backoff = dispatch.backoffs.get(id, workerId)
    if (backoff?.reason !== undefined && backoff.until > clock.monotonic()) return false
    return !required?.some((wanted) => !roster.profile(workerId).capabilities.includes(wanted))
  }
}
