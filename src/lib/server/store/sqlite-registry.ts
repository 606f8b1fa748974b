import type {Database} from '../../core/sqlite.ts'
import type {LiveState} from '../state/live-state.ts'
import type {Binding, BrowserSession, StoredCodebase, StoredRequest, StoredWorker} from '../state/records.ts'

type Row = Record<string, unknown>

const toWorker = (row: Row) =>
  ({
    ...row,
    capabilities: JSON.parse(String(row['capabilities'])) as unknown,
    features: JSON.parse(String(row['features'])) as unknown,
  }) as StoredWorker

const toCodebase = (row: Row) =>
  ({...row, agent_config: JSON.parse(String(row['agent_config'])) as unknown}) as StoredCodebase

const workerColumns = `worker_id, name, capabilities, hostname, global_codebase_id, registered_at, last_seen, version,
  max_concurrent_tasks, features, unregistered_at, tasks_completed, machine_id, token, forgotten_at`

/** Restores workers, codebases and small facts. */
export function restoreRegistry(database: Database, state: LiveState): void {
  const read = (sql: string) => database.prepare(sql).all()
  for (const row of read(`SELECT ${workerColumns} FROM workers ORDER BY registered_at, worker_id`))
    state.restore('worker', String(row['worker_id']), toWorker(row))
  for (const row of read('SELECT * FROM codebases ORDER BY registered_at, id'))
    state.restore('codebase', String(row['id']), toCodebase(row))
  for (const row of read('SELECT token, worker_id FROM token_bindings'))
    state.restore('binding', String(row['token']), row as Binding)
  for (const row of read('SELECT token FROM used_tokens'))
    state.restore('usedToken', String(row['token']), row as {token: string})
  for (const row of read('SELECT hash, token, created_at, ends_at FROM browser_sessions ORDER BY created_at'))
    state.restore('browserSession', String(row['hash']), row as BrowserSession)
}

/** Returns the function that reads a request by its Idempotency-Key. There may be many: they are not kept in memory. */
export function requestReader(database: Database): (key: string) => StoredRequest | undefined {
  const get = database.prepare('SELECT key, request, task_id, created_at FROM idempotency WHERE key = ?')
  return (key) => get.get(key) as StoredRequest | undefined
}

/** The models that workers announce, by worker. Long lists: they are not kept in memory. */
export function readModels(database: Database, workerId?: string): Map<string, unknown[]> {
  const sql = 'SELECT worker_id, models FROM workers WHERE forgotten_at IS NULL'
  const rows =
    workerId === undefined ? database.prepare(sql).all() : database.prepare(`${sql} AND worker_id = ?`).all(workerId)
  return new Map(rows.map((row) => [String(row['worker_id']), JSON.parse(String(row['models'])) as unknown[]]))
}
