import {parseTime} from '../core/clock.ts'
import type {Task} from '../protocol/schemas.ts'
import type {ControlPlaneClient} from './control-plane.ts'

export type TaskOrder = 'newest' | 'oldest'

export type TaskFilter = {
  order: TaskOrder
  status?: string
  codebase_id?: string
  worker_id?: string
  id_prefix?: string
}

export type TaskListing = {
  tasks: Task[]
  /** There are more tasks than these. */
  hasMore: boolean
  /** The server may have left out tasks that it cannot be asked for. */
  isCapped: boolean
}

const pageRows = 500
/** At most so many tasks are read from a server that cannot sort. */
const maxRead = 20_000
/** The existing server lists at most this many, by priority and then oldest first, and has no next page. */
const cappedRows = 100

/** Reads tasks in this order, at most `limit`. From a server that can neither sort nor filter, it reads all. */
export async function readTasks(client: ControlPlaneClient, filter: TaskFilter, limit: number): Promise<TaskListing> {
  const tasks: Task[] = []
  let isSortedHere = false
  let cursor: string | undefined
  do {
    const wanted = isSortedHere ? pageRows : Math.min(limit - tasks.length, pageRows)
    const page = await client.tasks({...filter, limit: wanted, ...(cursor ? {cursor} : {})})
    tasks.push(...page.tasks)
    isSortedHere = page.order !== filter.order
    cursor = page.next
  } while (cursor !== undefined && tasks.length < (isSortedHere ? maxRead : limit))
  const isCapped = isSortedHere && cursor === undefined && tasks.length === cappedRows
  const {id_prefix: prefix = '', order} = filter
  const found = isSortedHere ? tasks.filter(({id}) => id.startsWith(prefix)).sort(byAge(order)) : tasks
  return {tasks: found.slice(0, limit), hasMore: cursor !== undefined || found.length > limit, isCapped}
}

const byAge = (order: TaskOrder) => (a: Task, b: Task) =>
  ((parseTime(b.created_at) ?? 0) - (parseTime(a.created_at) ?? 0)) * (order === 'newest' ? 1 : -1)
