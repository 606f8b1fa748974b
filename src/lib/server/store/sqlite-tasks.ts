import {limits} from '../../protocol/limits.ts'
import type {Database} from '../../core/sqlite.ts'
import type {PendingTask, StoredTask} from '../state/records.ts'
import type {EndedTask, TaskOrder, TaskQuery, TaskViews} from './views.ts'

type Row = Record<string, unknown>
type Parameters = Record<string, string | number | null>

const columns = `n, id, codebase_id, title, prompt, agent_type, model, status, priority, worker_id, session_id, metadata,
  created_at, started_at, completed_at, updated_at, attempt, cancel_requested_at, lost_since, usage, required,
  frame_size, output_next, output_seq, output_first, output_chars, output_lost, output_dropped, returns,
  created_by, cancelled_by, retried_by`
const order = 'ORDER BY priority DESC, n'
/** Lists return only the end of long results. A single task is returned completely. */
const listed = `${columns}, substr(result, -${limits.result}) AS result, substr(error, -${limits.result}) AS error`

const toTask = (row: Row) =>
  ({
    ...row,
    metadata: JSON.parse(String(row['metadata'])) as unknown,
    usage: parsed(row['usage']),
    required: parsed(row['required']),
  }) as StoredTask

const parsed = (value: unknown) => (value === null ? null : (JSON.parse(String(value)) as unknown))

const toColumn = (value: unknown) =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : (value as string | number | null)

const endedSince = `SELECT status, created_at, started_at, completed_at, json_extract(usage, '$.cost') AS cost,
    json_extract(usage, '$.input') + json_extract(usage, '$.output') AS tokens
  FROM tasks WHERE completed_at >= ? ORDER BY completed_at DESC LIMIT ?`

/** Titles are looked at in this many tasks: there is no index for parts of texts. */
const maxSearched = 20_000

/** Lists of tasks in SQLite. */
export function sqliteTaskViews(database: Database): TaskViews {
  const statement = statements(database)
  return {
    list: (query) => listTasks(database, query),
    counts(codebaseId) {
      const counting = (where: string) => statement(`SELECT status, count(*) AS n FROM tasks ${where} GROUP BY status`)
      const rows = codebaseId === undefined ? counting('').all() : counting('WHERE codebase_id = ?').all(codebaseId)
      return Object.fromEntries(rows.map(({status, n}) => [String(status), Number(n)]))
    },
    endedSince: (time, limit) => statement(endedSince).all(time, limit) as EndedTask[],
    *lastEnded() {
      const sql = `SELECT ${listed} FROM tasks WHERE completed_at IS NOT NULL ORDER BY completed_at DESC`
      for (const row of database.prepare(sql).iterate()) yield toTask(row)
    },
  }
}

/** Returns the function that reads a whole task. */
export function taskReader(database: Database): (id: string) => StoredTask | undefined {
  const get = database.prepare(`SELECT ${columns}, result, error FROM tasks WHERE id = ?`)
  return (id) => {
    const row = get.get(id)
    return row && toTask(row)
  }
}

/** The tasks that wait, and those that a worker holds: what the state is restored from. */
export function* pendingTasks(database: Database): Generator<PendingTask> {
  const rows = database.prepare(`SELECT n, id, codebase_id, priority, frame_size, required FROM tasks
    WHERE status = 'pending' ${order}`)
  for (const row of rows.iterate()) yield {...row, required: parsed(row['required'])} as PendingTask
}

export type HeldTask = Pick<
  StoredTask,
  'id' | 'attempt' | 'worker_id' | 'codebase_id' | 'lost_since' | 'cancel_requested_at' | 'status'
>

export const heldTasks = (database: Database): HeldTask[] =>
  database
    .prepare(
      `SELECT id, attempt, worker_id, codebase_id, lost_since, cancel_requested_at, status FROM tasks
      WHERE status IN ('running', 'assigned') ${order}`,
    )
    .all() as HeldTask[]

/** How a list is sorted, and which tasks come after a position in it. */
const orders: Record<TaskOrder, {by: string; after: string}> = {
  newest: {by: 'ORDER BY n DESC', after: 'n < :n'},
  oldest: {by: 'ORDER BY n', after: 'n > :n'},
}
const queueOrder = {by: order, after: '(priority < :priority OR priority = :priority AND n > :n)'}

function* listTasks(database: Database, {after, order: wanted, ...query}: TaskQuery): Generator<StoredTask> {
  const where = ['1']
  const parameters: Parameters = {}
  for (const key of ['status', 'codebase_id'] as const)
    if (query[key] !== undefined) {
      where.push(`${key} = :${key}`)
      parameters[key] = query[key]
    }
  if (query.worker_id !== undefined) {
    where.push(`(worker_id = :worker_id OR worker_id IS NULL
      AND codebase_id IN (SELECT id FROM codebases WHERE worker_id = :worker_id))`)
    parameters['worker_id'] = query.worker_id
  }
  if (query.readable_by !== undefined) {
    where.push(`(worker_id = :reader OR codebase_id IN (SELECT id FROM codebases WHERE worker_id = :reader)
      OR status = 'pending' AND codebase_id IN (SELECT value FROM json_each(:shared)))`)
    parameters['reader'] = query.readable_by.worker_id
    parameters['shared'] = JSON.stringify(query.readable_by.shared_codebases)
  }
  if (query.id_prefix !== undefined) {
    // Both bounds make SQLite use the index of the ids.
    where.push('id BETWEEN :id_prefix AND :id_prefix || char(1114111)')
    parameters['id_prefix'] = query.id_prefix
  }
  if (query.title !== undefined) {
    const from = after?.n ?? Number(database.prepare('SELECT max(n) AS n FROM tasks').get()?.['n'] ?? 0)
    where.push('n >= :searched AND instr(lower(title), lower(:title)) > 0')
    parameters['searched'] = from - maxSearched
    parameters['title'] = query.title
  }
  const sorting = wanted === undefined ? queueOrder : orders[wanted]
  if (after) {
    where.push(sorting.after)
    Object.assign(parameters, wanted === undefined ? after : {n: after.n})
  }

  const sql = `SELECT ${listed} FROM tasks WHERE ${where.join(' AND ')} ${sorting.by}`
  for (const row of database.prepare(sql).iterate(parameters)) yield toTask(row)
}

/** The values of columns, without those that are undefined. */
export const mapColumns = (values: object): Parameters =>
  Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, toColumn(value)]),
  )

/** Prepares each statement once. */
export function statements(database: Database) {
  const prepared = new Map<string, ReturnType<Database['prepare']>>()
  return (sql: string) => {
    const known = prepared.get(sql) ?? database.prepare(sql)
    prepared.set(sql, known)
    return known
  }
}
