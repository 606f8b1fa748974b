/** Schema of the control plane's database, one entry a version; never edit one that was released, append. */
export const migrations = [
  `
  CREATE TABLE workers (
    worker_id TEXT PRIMARY KEY, name TEXT NOT NULL, capabilities TEXT NOT NULL, hostname TEXT, models TEXT NOT NULL,
    global_codebase_id TEXT, version TEXT, max_concurrent_tasks INTEGER, features TEXT, registered_at TEXT NOT NULL,
    last_seen TEXT NOT NULL, tasks_completed INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0
  );
  CREATE TABLE codebases (
    id TEXT PRIMARY KEY, worker_id TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL, description TEXT NOT NULL,
    agent_config TEXT NOT NULL, tree TEXT, registered_at TEXT NOT NULL, last_triggered TEXT, UNIQUE (worker_id, path)
  );
  CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, codebase_id TEXT NOT NULL, title TEXT NOT NULL,
    prompt TEXT NOT NULL, agent_type TEXT NOT NULL, model TEXT, status TEXT NOT NULL, priority INTEGER NOT NULL,
    worker_id TEXT, session_id TEXT, result TEXT, error TEXT, metadata TEXT NOT NULL, created_at TEXT NOT NULL,
    started_at TEXT, completed_at TEXT, updated_at TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 1,
    cancel_requested_at TEXT, lost_since TEXT, usage TEXT
  );
  CREATE INDEX tasks_by_status ON tasks (status, priority DESC, seq);
  CREATE INDEX tasks_by_codebase ON tasks (codebase_id, status, priority DESC, seq);
  CREATE TABLE output (
    id INTEGER PRIMARY KEY, task_id TEXT NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL, position INTEGER,
    length INTEGER NOT NULL, data BLOB NOT NULL, worker_id TEXT NOT NULL, created_at TEXT NOT NULL,
    UNIQUE (task_id, seq)
  );
  CREATE TABLE idempotency (key TEXT PRIMARY KEY, task_id TEXT NOT NULL, created_ms INTEGER NOT NULL);
  CREATE TABLE token_workers (token TEXT PRIMARY KEY, worker_id TEXT NOT NULL);
  `,
] as const
