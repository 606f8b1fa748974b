/** Each entry takes the database one version up; the number done is in `user_version`. Never edit one that shipped. */
export const migrations = [
  `
  CREATE TABLE workers (
    worker_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    capabilities TEXT NOT NULL DEFAULT '[]',
    hostname TEXT,
    models TEXT NOT NULL DEFAULT '[]',
    global_codebase_id TEXT,
    registered_at TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    version TEXT,
    max_concurrent_tasks INTEGER,
    features TEXT NOT NULL DEFAULT '[]',
    unregistered_at TEXT,
    tasks_completed INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX workers_name ON workers (name);

  CREATE TABLE codebases (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    description TEXT NOT NULL,
    agent_config TEXT NOT NULL,
    worker_id TEXT NOT NULL,
    tree TEXT,
    registered_at TEXT NOT NULL,
    last_triggered TEXT,
    UNIQUE (worker_id, path)
  ) STRICT;
  CREATE INDEX codebases_path ON codebases (path);

  CREATE TABLE tasks (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    codebase_id TEXT NOT NULL,
    title TEXT NOT NULL,
    prompt TEXT NOT NULL,
    agent_type TEXT NOT NULL,
    model TEXT,
    status TEXT NOT NULL,
    priority REAL NOT NULL,
    worker_id TEXT,
    session_id TEXT,
    result TEXT,
    error TEXT,
    metadata TEXT NOT NULL,
    created_at TEXT NOT NULL,
    started_at TEXT,
    completed_at TEXT,
    updated_at TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 1,
    cancel_requested_at TEXT,
    lost_since TEXT,
    usage TEXT,
    required TEXT,
    frame_size INTEGER NOT NULL,
    output_next INTEGER NOT NULL DEFAULT 0,
    output_seq INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX tasks_queue ON tasks (status, priority DESC, n);
  CREATE INDEX tasks_codebase ON tasks (codebase_id, status, priority DESC, n);
  CREATE INDEX tasks_order ON tasks (priority DESC, n);
  CREATE INDEX tasks_holder ON tasks (worker_id, status);
  CREATE INDEX tasks_lost ON tasks (lost_since) WHERE lost_since IS NOT NULL;

  CREATE TABLE outputs (
    id INTEGER PRIMARY KEY,
    task_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    "offset" INTEGER,
    length INTEGER,
    worker_id TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    data TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX outputs_seq ON outputs (task_id, seq);
  CREATE UNIQUE INDEX outputs_offset ON outputs (task_id, attempt, "offset");

  CREATE TABLE token_bindings (token TEXT PRIMARY KEY, worker_id TEXT NOT NULL) STRICT;

  CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    task_id TEXT NOT NULL,
    created_at TEXT NOT NULL
  ) STRICT;
  CREATE INDEX idempotency_age ON idempotency (created_at);
  `,
  // home: a codebase's id; global:WORKER for what a worker that has no global codebase ran outside of codebases
  `
  CREATE TABLE sessions (
    home TEXT NOT NULL,
    id TEXT NOT NULL,
    worker_id TEXT NOT NULL,
    title TEXT NOT NULL,
    directory TEXT,
    project_id TEXT,
    version TEXT,
    summary TEXT,
    created_at TEXT,
    updated_at TEXT NOT NULL,
    message_count INTEGER,
    message_bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (home, id)
  ) STRICT;
  CREATE INDEX sessions_order ON sessions (home, updated_at, id);
  CREATE INDEX sessions_newest ON sessions (updated_at, id, home);

  CREATE TABLE messages (
    n INTEGER PRIMARY KEY,
    home TEXT NOT NULL,
    session_id TEXT NOT NULL,
    id TEXT NOT NULL,
    at TEXT NOT NULL,
    data TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX messages_id ON messages (home, session_id, id);
  CREATE INDEX messages_order ON messages (home, session_id, at);

  CREATE TABLE session_syncs (home TEXT PRIMARY KEY, synced_at TEXT NOT NULL) STRICT;
  `,
  // output_first: the first stored piece; output_chars: the stored size of the output, including the result
  `
  ALTER TABLE tasks ADD COLUMN output_first INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE tasks ADD COLUMN output_chars INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE tasks ADD COLUMN output_dropped INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX tasks_kept ON tasks (completed_at, output_chars) WHERE completed_at IS NOT NULL AND output_dropped = 0;
  `,
  // machine_id, token: hashes, of the last registration. returns: how many attempts never began.
  `
  ALTER TABLE workers ADD COLUMN machine_id TEXT;
  ALTER TABLE workers ADD COLUMN token TEXT;
  ALTER TABLE workers ADD COLUMN forgotten_at TEXT;
  CREATE INDEX workers_machine ON workers (machine_id) WHERE machine_id IS NOT NULL;
  ALTER TABLE tasks ADD COLUMN returns INTEGER NOT NULL DEFAULT 0;
  `,
  // output_lost: size of the output that was dropped, in bytes
  `
  ALTER TABLE tasks ADD COLUMN output_lost INTEGER NOT NULL DEFAULT 0;
  `,
  // Who did it: names of tokens. The audit is append-only: a row is never changed, and only the oldest row can be removed,
  // once it is a day old or there are 100,000. So neither a bug nor a clock that was set wrongly can remove what is new.
  `
  ALTER TABLE tasks ADD COLUMN created_by TEXT;
  ALTER TABLE tasks ADD COLUMN cancelled_by TEXT;
  ALTER TABLE tasks ADD COLUMN retried_by TEXT;

  CREATE TABLE audit (
    n INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    what TEXT NOT NULL,
    who TEXT,
    task_id TEXT,
    worker_id TEXT,
    detail TEXT,
    count INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE used_tokens (token TEXT PRIMARY KEY) STRICT;

  CREATE TRIGGER audit_never_changed BEFORE UPDATE ON audit
  BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
  END;
  CREATE TRIGGER audit_never_replaced BEFORE INSERT ON audit
  WHEN EXISTS (SELECT 1 FROM audit WHERE n = NEW.n)
  BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
  END;
  CREATE TRIGGER audit_keeps_what_is_new BEFORE DELETE ON audit
  WHEN OLD.n > (SELECT min(n) FROM audit)
    OR OLD.n = (SELECT max(n) FROM audit)
    OR OLD.at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day')
      AND (SELECT max(n) FROM audit) - OLD.n < 100000
  BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
  END;
  `,
  // Ended tasks are removed by age. Lost ones are found in memory.
  `
  CREATE INDEX tasks_ended ON tasks (completed_at) WHERE completed_at IS NOT NULL;
  DROP INDEX tasks_lost;
  `,
  // What agents ask and people say. dialogues: of tasks that have not ended. n: order of arrival.
  `
  CREATE TABLE dialogues (
    task_id TEXT PRIMARY KEY,
    questions TEXT NOT NULL,
    settled TEXT NOT NULL,
    undelivered TEXT NOT NULL,
    inputs INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE inputs (
    n INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    task_id TEXT NOT NULL,
    id TEXT NOT NULL,
    question TEXT,
    "option" TEXT,
    text TEXT,
    mode TEXT NOT NULL,
    signature TEXT,
    created_by TEXT,
    created_at TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    settled_at TEXT,
    next_task TEXT
  ) STRICT;
  CREATE INDEX inputs_task ON inputs (task_id, n);
  `,
  // Browsers that are logged in to the monitor page. hash, token: hashes.
  `
  CREATE TABLE browser_sessions (
    hash TEXT PRIMARY KEY,
    token TEXT NOT NULL,
    created_at TEXT NOT NULL,
    ends_at TEXT NOT NULL
  ) STRICT;
  `,
]
