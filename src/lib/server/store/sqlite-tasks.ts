import {limits} from '../../protocol/limits.ts'
import type {Database} from '../../core/sqlite.ts'
import type {PendingTask, StoredTask, TaskOrder, TaskPatch, TaskQuery, TaskStore} from './store.ts'

type Row = Record<string, unknown>
type Parameters = Record<string, string | number | null>

const columns = `n, id, codebase_id, title, prompt, agent_type, model, status, priority, worker_id, session_id, metadata,
  created_at, started_at, completed_at, updated_at, attempt, cancel_requested_at, lost_since, usage, required,
  frame_size, output_next, output_seq, output_first, output_chars, output_lost, returns,
  created_by, cancelled_by, retried_by`
const order = 'ORDER BY priority DESC, n'
/** Lists return only the end of long results. A single task is returned completely. */
const listed = `${columns}, substr(result, -${limits.result}) AS result, substr(error, -${limits.result}) AS error`

const toTask = (row: Row) =>
  ({
    ...row,
    metadata: JSON.parse(String(row['metadata'])) as unknown,
    usage: row['usage'] === null ? null : (JSON.parse(String(row['usage'])) as unknown),
    required: row['required'] === null ? null : (JSON.parse(String(row['required'])) as unknown),
  }) as StoredTask

const toColumn = (value: unknown) =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : (value as string | number | null)

/** The tasks in SQLite. */
export function sqliteTasks(database: Database): TaskStore {
  const statement = statements(database)
  const get = statement(`SELECT ${columns}, result, error FROM tasks WHERE id = ?`)
  const insert = statement(`INSERT INTO tasks (id, codebase_id, title, prompt, agent_type, model, status, priority,
    metadata, created_at, updated_at, required, frame_size, created_by) VALUES (:id, :codebase_id, :title, :prompt, :agent_type,
    :model, 'pending', :priority, :metadata, :created_at, :created_at, :required, :frame_size, :created_by)`)
  const pendingOf = `SELECT n, id, codebase_id, priority, frame_size, required FROM tasks
    WHERE codebase_id = ? AND status = 'pending' ${order}`
  const lost = statement(`SELECT id FROM tasks WHERE status = 'running' AND lost_since < ?`)

  return {
    insert: (task) => {
      insert.run(mapColumns(task))
    },
    get: (id) => {
      const row = get.get(id)
      return row && toTask(row)
    },
    update(id, patch) {
      const keys = Object.keys(patch).filter((key) => patch[key as keyof TaskPatch] !== undefined)
      const sets = keys.map((key) => `${key} = :${key}`).join(', ')
      if (sets) statement(`UPDATE tasks SET ${sets} WHERE id = :id`).run({...mapColumns(patch), id})
    },
    list: (query) => listTasks(database, query),
    *pendingOf(codebaseId) {
      // a statement of its own: a reader may stop early, or read again while it reads
      for (const row of database.prepare(pendingOf).iterate(codebaseId))
        yield {...row, required: toTask({...row, usage: null, metadata: '{}'}).required} as PendingTask
    },
    *running() {
      for (const row of database.prepare(`SELECT ${listed} FROM tasks WHERE status = 'running'`).iterate())
        yield toTask(row)
    },
    runningOf: (workerId) =>
      statement(`SELECT ${listed} FROM tasks WHERE worker_id = ? AND status = 'running' ${order}`)
        .all(workerId)
        .map(toTask),
    lostBefore: (time) => lost.all(time).map((row) => String(row['id'])),
    counts(codebaseId) {
      const counting = (where: string) => statement(`SELECT status, count(*) AS n FROM tasks ${where} GROUP BY status`)
      const rows = codebaseId === undefined ? counting('').all() : counting('WHERE codebase_id = ?').all(codebaseId)
      return Object.fromEntries(rows.map(({status, n}) => [String(status), Number(n)]))
    },
  }
}

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
  const sorting = wanted === undefined ? queueOrder : orders[wanted]
  if (after) {
    where.push(sorting.after)
    Object.assign(parameters, wanted === undefined ? after : {n: after.n})
  }

  const sql = `SELECT ${listed} FROM tasks WHERE ${where.join(' AND ')} ${sorting.by}`
  for (const row of database.prepare(sql).iterate(parameters)) yield toTask(row)
}

const mapColumns = (values: object): Parameters =>
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
