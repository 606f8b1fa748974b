import type {Database} from '../../core/sqlite.ts'
import {statements} from './sqlite-tasks.ts'
import type {RegistryStore, StoredCodebase, StoredWorker} from './store.ts'

type Row = Record<string, unknown>

const toWorker = (row: Row) =>
  ({
    ...row,
    capabilities: JSON.parse(String(row['capabilities'])) as unknown,
    models: JSON.parse(String(row['models'])) as unknown,
    features: JSON.parse(String(row['features'])) as unknown,
  }) as StoredWorker

const toCodebase = (row: Row) =>
  ({...row, agent_config: JSON.parse(String(row['agent_config'])) as unknown}) as StoredCodebase

const withoutModels = `worker_id, name, capabilities, hostname, '[]' AS models, global_codebase_id, registered_at,
  last_seen, version, max_concurrent_tasks, features, unregistered_at, tasks_completed, machine_id, token, forgotten_at`

type Part<K extends keyof RegistryStore> = Pick<RegistryStore, K>

/** Workers, codebases and small facts in SQLite. */
export const sqliteRegistry = (database: Database): RegistryStore => ({
  ...workerTable(database),
  ...codebaseTable(database),
  ...smallFacts(database),
})

function workerTable(
  database: Database,
): Part<
  | 'putWorker'
  | 'worker'
  | 'workers'
  | 'hasWorkers'
  | 'counts'
  | 'recordContact'
  | 'unregister'
  | 'forget'
  | 'countCompleted'
  | 'relatedWorkers'
> {
  const sql = statements(database)
  const put = sql(`INSERT INTO workers (worker_id, name, capabilities, hostname, models, global_codebase_id,
      registered_at, last_seen, version, max_concurrent_tasks, features, machine_id, token)
    VALUES (:worker_id, :name, :capabilities, :hostname, :models, :global_codebase_id, :registered_at, :last_seen,
      :version, :max_concurrent_tasks, :features, :machine_id, :token)
    ON CONFLICT (worker_id) DO UPDATE SET name = :name, capabilities = :capabilities, hostname = :hostname,
      models = :models, global_codebase_id = :global_codebase_id, last_seen = :last_seen, version = :version,
      max_concurrent_tasks = :max_concurrent_tasks, features = :features, machine_id = :machine_id, token = :token, unregistered_at = NULL, forgotten_at = NULL`)
  return {
    putWorker: (worker) => {
      put.run({
        ...worker,
        capabilities: JSON.stringify(worker.capabilities),
        models: JSON.stringify(worker.models),
        features: JSON.stringify(worker.features),
      })
    },
    worker(id) {
      const row = sql('SELECT * FROM workers WHERE worker_id = ?').get(id)
      return row && toWorker(row)
    },
    workers: ({all = false, withModels = true} = {}) =>
      sql(`SELECT ${withModels ? '*' : withoutModels} FROM workers
        WHERE ${all ? 'forgotten_at' : 'unregistered_at'} IS NULL ORDER BY registered_at, worker_id`)
        .all()
        .map(toWorker),
    hasWorkers: () => sql('SELECT 1 FROM workers WHERE unregistered_at IS NULL LIMIT 1').get() !== undefined,
    counts: () =>
      sql(`SELECT (SELECT count(*) FROM workers WHERE unregistered_at IS NULL) AS workers,
        (SELECT count(*) FROM codebases) AS codebases`).get() as {workers: number; codebases: number},
    recordContact: (id, at) => sql('UPDATE workers SET last_seen = ? WHERE worker_id = ?').run(at, id).changes > 0,
    unregister: (id, at) => {
      sql('UPDATE workers SET unregistered_at = ? WHERE worker_id = ?').run(at, id)
    },
    forget: (id, at) => {
      sql('UPDATE workers SET forgotten_at = ? WHERE worker_id = ?').run(at, id)
      sql('DELETE FROM token_bindings WHERE worker_id = ?').run(id)
    },
    countCompleted: (id) => {
      sql('UPDATE workers SET tasks_completed = tasks_completed + 1 WHERE worker_id = ?').run(id)
    },
    relatedWorkers: ({name, hostname, machine_id, worker_id}) =>
      sql(`SELECT * FROM workers WHERE ((name = ? AND hostname IS ?) OR machine_id = ?) AND worker_id <> ?
        ORDER BY last_seen DESC`)
        .all(name, hostname, machine_id, worker_id)
        .map(toWorker),
  }
}

function codebaseTable(
  database: Database,
): Part<'putCodebase' | 'codebase' | 'codebases' | 'codebasesOf' | 'codebaseAt' | 'recordTrigger' | 'removeCodebase'> {
  const sql = statements(database)
  const put = sql(`INSERT INTO codebases (id, name, path, description, agent_config, worker_id, tree, registered_at,
      last_triggered)
    VALUES (:id, :name, :path, :description, :agent_config, :worker_id, :tree, :registered_at, :last_triggered)
    ON CONFLICT (id) DO UPDATE SET name = :name, description = :description, agent_config = :agent_config,
      worker_id = :worker_id, tree = :tree`)
  return {
    putCodebase: (codebase) => {
      put.run({...codebase, agent_config: JSON.stringify(codebase.agent_config)})
    },
    codebase(id) {
      const row = sql('SELECT * FROM codebases WHERE id = ?').get(id)
      return row && toCodebase(row)
    },
    codebases: () => sql('SELECT * FROM codebases ORDER BY registered_at, id').all().map(toCodebase),
    codebasesOf: (workerId) =>
      sql('SELECT * FROM codebases WHERE worker_id = ? ORDER BY registered_at, id').all(workerId).map(toCodebase),
    codebaseAt(workerId, path) {
      const row = sql('SELECT * FROM codebases WHERE worker_id = ? AND path = ?').get(workerId, path)
      return row && toCodebase(row)
    },
    recordTrigger: (id, at) => {
      sql('UPDATE codebases SET last_triggered = ? WHERE id = ?').run(at, id)
    },
    removeCodebase: (id) => {
      sql('DELETE FROM codebases WHERE id = ?').run(id)
    },
  }
}

function smallFacts(
  database: Database,
): Part<
  | 'binding'
  | 'bind'
  | 'tokensBoundTo'
  | 'idempotentRequest'
  | 'saveIdempotentRequest'
  | 'deleteIdempotentRequestsBefore'
> {
  const sql = statements(database)
  return {
    binding: (token) =>
      sql('SELECT worker_id FROM token_bindings WHERE token = ?').get(token)?.['worker_id'] as string | undefined,
    bind: (token, workerId) => {
      sql('INSERT INTO token_bindings (token, worker_id) VALUES (?, ?)').run(token, workerId)
    },
    tokensBoundTo: (workerId) =>
      sql('SELECT token FROM token_bindings WHERE worker_id = ?')
        .all(workerId)
        .map(({token}) => String(token)),
    idempotentRequest: (key) =>
      sql('SELECT request, task_id, created_at FROM idempotency WHERE key = ?').get(key) as ReturnType<
        RegistryStore['idempotentRequest']
      >,
    saveIdempotentRequest: (entry) => {
      sql('INSERT OR REPLACE INTO idempotency VALUES (:key, :request, :task_id, :created_at)').run(entry)
    },
    deleteIdempotentRequestsBefore: (time) => {
      sql('DELETE FROM idempotency WHERE created_at < ?').run(time)
    },
  }
}
