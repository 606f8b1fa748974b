import type {RegisterCodebase, RegisterWorker, Task} from '../protocol/schemas.ts'
import type {Database} from '../core/database.ts'

type Row = Record<string, string | number | null | Uint8Array>

export type StoredWorker = {
  worker_id: string
  name: string
  capabilities: string[]
  hostname: string | null
  models: unknown[]
  global_codebase_id: string | null
  version: string | null
  max_concurrent_tasks: number | null
  /** Null for a worker that announced none: the existing Python one. */
  features: string[] | null
  registered_at: string
  last_seen: string
  tasks_completed: number
}

export type StoredCodebase = {
  id: string
  worker_id: string
  name: string
  path: string
  description: string
  agent_config: Record<string, unknown>
  tree: string | null
  registered_at: string
  last_triggered: string | null
}

export type StoredTask = Task & {seq: number}

const taskColumns = [
  'status',
  'worker_id',
  'session_id',
  'result',
  'error',
  'started_at',
  'completed_at',
  'updated_at',
  'attempt',
  'cancel_requested_at',
  'lost_since',
  'usage',
] as const
export type TaskChange = Partial<Pick<Task, (typeof taskColumns)[number]>>

/** Workers, codebases and tasks as rows. Knows no rules: what may change when is decided by its callers. */
export class Store {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  // ------------------------------------------------------------------------------------------------- workers

  saveWorker(worker: Required<RegisterWorker>, now: string): void {
    this.#db.write(
      `INSERT INTO workers (worker_id, name, capabilities, hostname, models, global_codebase_id, version,
         max_concurrent_tasks, features, registered_at, last_seen) VALUES (?,?,?,?,?,?,?,?,?,?,?)
       ON CONFLICT (worker_id) DO UPDATE SET name=excluded.name, capabilities=excluded.capabilities,
         hostname=excluded.hostname, models=excluded.models, version=excluded.version, features=excluded.features,
         global_codebase_id=excluded.global_codebase_id, max_concurrent_tasks=excluded.max_concurrent_tasks,
         last_seen=excluded.last_seen, gone=0`,
      worker.worker_id,
      worker.name,
      JSON.stringify(worker.capabilities),
      worker.hostname ?? null,
      JSON.stringify(worker.models),
      worker.global_codebase_id ?? null,
      worker.version ?? null,
      worker.max_concurrent_tasks ?? null,
      worker.features ? JSON.stringify(worker.features) : null,
      now,
      now,
    )
  }

  worker(id: string): StoredWorker | undefined {
    const row = this.#db.statement('SELECT * FROM workers WHERE worker_id=? AND gone=0').get(id)
    return row ? readWorker(row as Row) : undefined
  }

  workers(): StoredWorker[] {
    const rows = this.#db.statement('SELECT * FROM workers WHERE gone=0 ORDER BY registered_at, worker_id').all()
    return rows.map((row) => readWorker(row as Row))
  }

  touchWorker(id: string, now: string): void {
    this.#db.write('UPDATE workers SET last_seen=? WHERE worker_id=?', now, id)
  }

  /** The row stays, out of sight: its count of completed tasks goes on when the worker comes back. */
  removeWorker(id: string): boolean {
    return this.#db.write('UPDATE workers SET gone=1 WHERE worker_id=? AND gone=0', id) > 0
  }

  countCompleted(workerId: string): void {
    this.#db.write('UPDATE workers SET tasks_completed=tasks_completed+1 WHERE worker_id=?', workerId)
  }

  // ----------------------------------------------------------------------------------------------- codebases

  saveCodebase(id: string, codebase: Required<RegisterCodebase> & {worker_id: string}, now: string): void {
    this.#db.write(
      `INSERT INTO codebases (id, worker_id, name, path, description, agent_config, tree, registered_at)
       VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (worker_id, path) DO UPDATE SET name=excluded.name,
         description=excluded.description, agent_config=excluded.agent_config, tree=excluded.tree`,
      id,
      codebase.worker_id,
      codebase.name,
      codebase.path,
      codebase.description ?? '',
      JSON.stringify(codebase.agent_config),
      codebase.tree ?? null,
      now,
    )
  }

  codebase(id: string): StoredCodebase | undefined {
    const row = this.#db.statement('SELECT * FROM codebases WHERE id=?').get(id)
    return row ? readCodebase(row as Row) : undefined
  }

  codebaseAt(workerId: string, path: string): StoredCodebase | undefined {
    const row = this.#db.statement('SELECT * FROM codebases WHERE worker_id=? AND path=?').get(workerId, path)
    return row ? readCodebase(row as Row) : undefined
  }

  codebases(): StoredCodebase[] {
    const rows = this.#db.statement('SELECT * FROM codebases ORDER BY registered_at, id').all()
    return rows.map((row) => readCodebase(row as Row))
  }

  touchCodebase(id: string, now: string): void {
    this.#db.write('UPDATE codebases SET last_triggered=? WHERE id=?', now, id)
  }

  // --------------------------------------------------------------------------------------------------- tasks

  insertTask(
    task: Pick<Task, 'id' | 'codebase_id' | 'title' | 'prompt' | 'agent_type' | 'model' | 'priority' | 'metadata'>,
    now: string,
  ) {
    this.#db.write(
      `INSERT INTO tasks (id, codebase_id, title, prompt, agent_type, model, status, priority, metadata, created_at,
         updated_at) VALUES (?,?,?,?,?,?,'pending',?,?,?,?)`,
      task.id,
      task.codebase_id,
      task.title,
      task.prompt,
      task.agent_type,
      task.model,
      task.priority,
      JSON.stringify(task.metadata),
      now,
      now,
    )
  }

  task(id: string): StoredTask | undefined {
    const row = this.#db.statement('SELECT * FROM tasks WHERE id=?').get(id)
    return row ? readTask(row as Row) : undefined
  }

  changeTask(id: string, change: TaskChange): void {
    const columns = taskColumns.filter((column) => change[column] !== undefined)
    const values = columns.map((column) => {
      const value = change[column]
      return typeof value === 'object' && value !== null ? JSON.stringify(value) : (value as string | number | null)
    })
    this.#db.write(`UPDATE tasks SET ${columns.map((column) => `${column}=?`).join(', ')} WHERE id=?`, ...values, id)
  }

  runningTasks(): StoredTask[] {
    return this.#db
      .statement(`SELECT * FROM tasks WHERE status='running'`)
      .all()
      .map((row) => readTask(row as Row))
  }

  /** Codebases that have pending tasks, each with its best one's priority and age: what dispatch chooses from. */
  pendingCodebases(): string[] {
    const rows = this.#db.statement(`SELECT DISTINCT codebase_id FROM tasks WHERE status='pending'`).all()
    return rows.map((row) => String(row['codebase_id']))
  }

  pendingOf(codebaseId: string, most: number): StoredTask[] {
    const sql = `SELECT * FROM tasks WHERE codebase_id=? AND status='pending' ORDER BY priority DESC, seq LIMIT ?`
    return this.#db
      .statement(sql)
      .all(codebaseId, most)
      .map((row) => readTask(row as Row))
  }

  /** By priority, then age. `after` is the seq and priority of the last one seen. */
  listTasks(query: {
    status?: string
    worker?: string
    codebase?: string
    after?: [number, number]
    most: number
  }): StoredTask[] {
    const where: string[] = []
    const values: (string | number)[] = []
    const add = (sql: string, ...given: (string | number)[]) => {
      where.push(sql)
      values.push(...given)
    }
    if (query.status !== undefined) add('status=?', query.status)
    if (query.codebase !== undefined) add('codebase_id=?', query.codebase)
    if (query.worker !== undefined)
      add('(worker_id=? OR codebase_id IN (SELECT id FROM codebases WHERE worker_id=?))', query.worker, query.worker)
    if (query.after) add('(priority<? OR (priority=? AND seq>?))', query.after[0], query.after[0], query.after[1])
    const sql = `SELECT * FROM tasks ${where.length > 0 ? `WHERE ${where.join(' AND ')}` : ''} ORDER BY priority DESC, seq LIMIT ?`
    return this.#db
      .statement(sql)
      .all(...values, query.most)
      .map((row) => readTask(row as Row))
  }

  countTasks(status: string): number {
    return Number(this.#db.statement('SELECT count(*) AS n FROM tasks WHERE status=?').get(status)?.['n'] ?? 0)
  }

  // --------------------------------------------------------------------------------- idempotency and tokens

  taskOfKey(key: string): string | undefined {
    const id = this.#db.statement('SELECT task_id FROM idempotency WHERE key=?').get(key)?.['task_id']
    return typeof id === 'string' ? id : undefined
  }

  keepKey(key: string, taskId: string, nowMs: number): void {
    this.#db.write('DELETE FROM idempotency WHERE created_ms<?', nowMs - 24 * 3_600_000)
    this.#db.write('INSERT OR REPLACE INTO idempotency (key, task_id, created_ms) VALUES (?,?,?)', key, taskId, nowMs)
  }

  /** The worker that the token of this name was bound to. */
  boundWorker(token: string): string | undefined {
    const bound = this.#db.statement('SELECT worker_id FROM token_workers WHERE token=?').get(token)?.['worker_id']
    return typeof bound === 'string' ? bound : undefined
  }

  /** The worker that a token is bound to; the first one to ask becomes it. */
  bindToken(token: string, workerId: string): string {
    const bound = this.boundWorker(token)
    if (bound !== undefined) return bound
    this.#db.write('INSERT INTO token_workers (token, worker_id) VALUES (?,?)', token, workerId)
    return workerId
  }
}

const json = (value: unknown): unknown => (typeof value === 'string' ? (JSON.parse(value) as unknown) : null)

const readWorker = (row: Row): StoredWorker =>
  ({
    ...row,
    capabilities: json(row['capabilities']),
    models: json(row['models']),
    features: json(row['features']),
  }) as unknown as StoredWorker

const readCodebase = (row: Row): StoredCodebase =>
  ({...row, agent_config: json(row['agent_config'])}) as unknown as StoredCodebase

const readTask = (row: Row): StoredTask =>
  ({...row, metadata: json(row['metadata']), usage: json(row['usage']), waiting: null}) as unknown as StoredTask
