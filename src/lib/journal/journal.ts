import {CommitGroup} from '../core/commit-group.ts'
import {checkDatabase, explainDatabase, migrate, openDatabase, type Database} from '../core/sqlite.ts'
import {readRow, type JournalledRun} from './journalled-run.ts'

const migrations = [
  `CREATE TABLE runs (
    task_id TEXT NOT NULL, attempt INTEGER NOT NULL, title TEXT NOT NULL, path TEXT NOT NULL, run_dir TEXT NOT NULL,
    marker TEXT NOT NULL, boot_id TEXT NOT NULL, pid INTEGER, start_time TEXT, session_id TEXT,
    cursor INTEGER NOT NULL DEFAULT 0, report TEXT, PRIMARY KEY (task_id, attempt)
  )`,
  `ALTER TABLE runs ADD COLUMN agent TEXT NOT NULL DEFAULT 'build';
  ALTER TABLE runs ADD COLUMN model TEXT;
  ALTER TABLE runs ADD COLUMN codebase_id TEXT NOT NULL DEFAULT '';
  ALTER TABLE runs ADD COLUMN started_at INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE runs ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0`,
] as const

type Key = Pick<JournalledRun, 'task_id' | 'attempt'>

const insert = `INSERT OR REPLACE INTO runs
  (task_id, attempt, title, path, run_dir, marker, boot_id, agent, model, codebase_id, started_at)
  VALUES (:task_id, :attempt, :title, :path, :run_dir, :marker, :boot_id, :agent, :model, :codebase_id, :started_at)`

/**
 * What a worker must not forget: its runs, how far their output was acknowledged, and what is still to be reported. What
 * was committed outlives a kill of the worker. A power cut may take the last moments; its agents are dead then, and the
 * server puts back a task that the worker no longer knows of.
 */
export class Journal implements Disposable {
  readonly #database: Database
  readonly #commits: CommitGroup
  readonly #statements: ReturnType<typeof prepare>

  private constructor(database: Database) {
    this.#database = database
    this.#commits = new CommitGroup(database)
    this.#statements = prepare(database)
  }

  /**
   * Held alone: only the worker itself opens its journal. Throws ExpectedError as `openDatabase`, `checkDatabase` and
   * `migrate` do.
   */
  static async open(file: string): Promise<Journal> {
    const database = await openDatabase(file, {exclusive: true})
    try {
      checkDatabase(database, file)
      migrate(database, file, migrations)
      return new Journal(database)
    } catch (error) {
      database.close()
      throw explainDatabase(file, error)
    }
  }

  /** Committed when this returns: the agent is started after it, so that a crash in between can be told. */
  begin(run: Omit<JournalledRun, 'pid' | 'start_time' | 'session_id' | 'cursor' | 'report' | 'resumes'>): void {
    this.#commits.write(() => this.#statements.begin.run(run))
    this.#commits.flush()
  }

  spawned({task_id, attempt}: Key, pid: number, startTime: string): void {
    this.#commits.write(() => this.#statements.spawned.run(pid, startTime, task_id, attempt))
  }

  /** Committed when this returns, as `begin`: the run is to be continued by another agent, of this boot. */
  resumed({task_id, attempt}: Key, bootId: string): void {
    this.#commits.write(() => this.#statements.resumed.run(bootId, task_id, attempt))
    this.#commits.flush()
  }

  session({task_id, attempt}: Key, id: string): void {
    this.#commits.write(() => this.#statements.session.run(id, task_id, attempt))
  }

  acknowledged({task_id, attempt}: Key, cursor: number): void {
    this.#commits.write(() => this.#statements.acknowledged.run(cursor, task_id, attempt))
  }

  /** Freezes the final report: committed when this returns, and sent until it is acknowledged. */
  freeze({task_id, attempt}: Key, report: unknown): void {
    this.#commits.write(() => this.#statements.freeze.run(JSON.stringify(report), task_id, attempt))
    this.#commits.flush()
  }

  /** The server has acknowledged all there is to know of it, or will never take it. */
  done({task_id, attempt}: Key): void {
    this.#commits.write(() => this.#statements.done.run(task_id, attempt))
  }

  /** A row that is no run, as the file was damaged, is told and taken out: it would be so at each start. */
  unfinished(onUnreadable: (taskId: string) => void = () => {}): JournalledRun[] {
    return this.#statements.unfinished.all().flatMap(({rowid, ...row}) => {
      const run = readRow(row)
      if (run) return [run]
      this.#commits.write(() => this.#statements.discard.run(rowid ?? null))
      onUnreadable(String(row['task_id']))
      return []
    })
  }

  [Symbol.dispose](): void {
    this.#commits.flush()
    this.#database.close()
  }
}

const prepare = (database: Database) => ({
  discard: database.prepare('DELETE FROM runs WHERE rowid = ?'),
  begin: database.prepare(insert),
  spawned: database.prepare('UPDATE runs SET pid = ?, start_time = ? WHERE task_id = ? AND attempt = ?'),
  resumed: database.prepare(
    'UPDATE runs SET pid = NULL, start_time = NULL, boot_id = ?, resumes = resumes + 1 WHERE task_id = ? AND attempt = ?',
  ),
  session: database.prepare('UPDATE runs SET session_id = ? WHERE task_id = ? AND attempt = ?'),
  acknowledged: database.prepare('UPDATE runs SET cursor = ? WHERE task_id = ? AND attempt = ?'),
  freeze: database.prepare('UPDATE runs SET report = ? WHERE task_id = ? AND attempt = ?'),
  done: database.prepare('DELETE FROM runs WHERE task_id = ? AND attempt = ?'),
  unfinished: withBigInts(database.prepare('SELECT rowid, * FROM runs ORDER BY rowid')),
})

function withBigInts<T extends {setReadBigInts(enabled: boolean): void}>(statement: T): T {
  statement.setReadBigInts(true)
  return statement
}
