import type {Database} from '../../core/sqlite.ts'
import type {Change, NewAuditEntry, NewOutput, RecordChange} from '../state/decision.ts'
import {
  idOf,
  type BrowserSession,
  type Dialogue,
  type Kind,
  type StoredCodebase,
  type StoredInput,
  type StoredRequest,
  type StoredTask,
  type StoredWorker,
} from '../state/records.ts'
import {sessionWriter} from './sqlite-sessions.ts'
import {mapColumns, statements} from './sqlite-tasks.ts'

type Sql = ReturnType<typeof statements>
type TableChange = RecordChange & {record?: object; fields?: object; by?: Record<string, number>}

const tables: Partial<Record<Kind, {name: string; key: string}>> = {
  task: {name: 'tasks', key: 'id'},
  worker: {name: 'workers', key: 'worker_id'},
  codebase: {name: 'codebases', key: 'id'},
  binding: {name: 'token_bindings', key: 'token'},
  request: {name: 'idempotency', key: 'key'},
  usedToken: {name: 'used_tokens', key: 'token'},
  browserSession: {name: 'browser_sessions', key: 'hash'},
  dialogue: {name: 'dialogues', key: 'task_id'},
  input: {name: 'inputs', key: 'key'},
}

/** The kinds of records that are in memory only. */
export const volatileKinds = (Object.keys(idOf) as Exclude<Kind, 'task' | 'request' | 'input'>[]).filter(
  (kind) => tables[kind] === undefined,
)

/** Whether a change is written to disk. Others are in memory only. */
export const isDurable = (change: Change): boolean =>
  change.do !== 'maintain' && (!('kind' in change) || tables[change.kind] !== undefined)

/** Returns the function that writes a change to the database. */
export function changeWriter(database: Database): (change: Change) => void {
  const sql = statements(database)
  const put = inserters(sql)
  const writeSession = sessionWriter(database)
  const appendOutput = sql(`INSERT INTO outputs (task_id, seq, attempt, "offset", length, worker_id, timestamp, data)
    VALUES (:task_id, :seq, :attempt, :offset, :length, :worker_id, :timestamp, :output)`)
  const audit = sql(`INSERT INTO audit (at, what, who, task_id, worker_id, detail, count)
    VALUES (:at, :what, :who, :task_id, :worker_id, :detail, :count)`)
  const models = sql('UPDATE workers SET models = ? WHERE worker_id = ?')
  return (change) => {
    switch (change.do) {
      case 'put':
      case 'update':
      case 'remove':
        return writeRecord(sql, put, change)
      case 'append-output':
        return void appendOutput.run(change.output satisfies NewOutput)
      case 'audit':
        return void audit.run(change.entry satisfies NewAuditEntry)
      case 'set-models':
        return void models.run(JSON.stringify(change.models), change.workerId)
      case 'maintain':
        return undefined // the store's
      default:
        return writeSession(change)
    }
  }
}

function writeRecord(sql: Sql, put: Inserters, change: TableChange): void {
  const table = tables[change.kind]
  if (!table) return
  if (change.do === 'put') return put[change.kind]?.(change.record as never)
  if (change.do === 'remove') return void sql(`DELETE FROM ${table.name} WHERE ${table.key} = ?`).run(change.id)
  const {fields = {}, by = {}} = change
  const columns = mapColumns(fields)
  const sets = Object.keys(columns).map((field) => `${field} = :${field}`)
  const sums = Object.keys(by).map((field) => `${field} = ${field} + :by_${field}`)
  if (sets.length + sums.length === 0) return
  const more = Object.fromEntries(Object.entries(by).map(([field, n]) => [`by_${field}`, n]))
  const statement = `UPDATE ${table.name} SET ${[...sets, ...sums].join(', ')} WHERE ${table.key} = :key_`
  sql(statement).run({...columns, ...more, key_: change.id})
}

type Inserters = Partial<Record<Kind, (record: never) => void>>

function inserters(sql: Sql): Inserters {
  const task = sql(insert('tasks', taskColumns))
  const worker = sql(upsert('workers', 'worker_id', workerColumns))
  const codebase = sql(upsert('codebases', 'id', codebaseColumns))
  const request = sql('INSERT OR REPLACE INTO idempotency VALUES (:key, :request, :task_id, :created_at)')
  const binding = sql('INSERT OR REPLACE INTO token_bindings (token, worker_id) VALUES (:token, :worker_id)')
  const usedToken = sql('INSERT OR IGNORE INTO used_tokens VALUES (:token)')
  const browserSession = sql('INSERT INTO browser_sessions VALUES (:hash, :token, :created_at, :ends_at)')
  const dialogue = sql(upsert('dialogues', 'task_id', dialogueColumns))
  const input = sql(insert('inputs', inputColumns))
  return {
    task: (record: StoredTask) => void task.run(pick(record, taskColumns)),
    worker: (record: StoredWorker) => void worker.run(pick(record, workerColumns)),
    codebase: (record: StoredCodebase) => void codebase.run(pick(record, codebaseColumns)),
    request: (record: StoredRequest) => void request.run(record),
    binding: (record: {token: string; worker_id: string}) => void binding.run(record),
    usedToken: (record: {token: string}) => void usedToken.run(record),
    browserSession: (record: BrowserSession) => void browserSession.run(record),
    dialogue: (record: Dialogue) => void dialogue.run(pick(record, dialogueColumns)),
    input: (record: StoredInput) => void input.run(pick(record, inputColumns)),
  }
}

const taskColumns =
  `n id codebase_id title prompt agent_type model status priority worker_id session_id metadata created_at
  started_at updated_at attempt required frame_size created_by`.split(/\s+/)
const workerColumns = `worker_id name capabilities hostname global_codebase_id registered_at last_seen version
  max_concurrent_tasks features machine_id token unregistered_at forgotten_at tasks_completed`.split(/\s+/)
const codebaseColumns = 'id name path description agent_config worker_id tree registered_at last_triggered'.split(' ')

const dialogueColumns = 'task_id questions settled undelivered inputs'.split(' ')
const inputColumns = `key task_id id question option text mode signature created_by created_at state reason settled_at
  next_task`.split(/\s+/)

const insert = (table: string, columns: readonly string[]) =>
  `INSERT INTO ${table} (${columns.join()}) VALUES (${columns.map((column) => `:${column}`).join()})`

const upsert = (table: string, key: string, columns: readonly string[]) =>
  `${insert(table, columns)} ON CONFLICT (${key}) DO UPDATE SET ${columns.map((column) => `${column} = :${column}`).join()}`

const pick = (record: object, columns: readonly string[]) => {
  const values = record as Record<string, unknown>
  return mapColumns(Object.fromEntries(columns.map((column) => [column, values[column]])))
}
