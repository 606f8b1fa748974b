import {isDiskFull, failureReason} from '../core/disk-full.ts'
import {checkDatabase, explainDatabase, migrate, openDatabase, type Database} from '../core/sqlite.ts'
import {readRow, type JournalledRun} from './journalled-run.ts'
import {WriteQueue} from './write-queue.ts'

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
  `ALTER TABLE runs ADD COLUMN returns INTEGER NOT NULL DEFAULT 0`,
  `CREATE TABLE nonces (key TEXT NOT NULL, nonce TEXT NOT NULL, task_id TEXT NOT NULL, valid_until INTEGER NOT NULL,
    PRIMARY KEY (key, nonce));
  CREATE INDEX nonces_age ON nonces (valid_until)`,
] as const

/** The nonce of a signed task, and until when the signature counts. Times in Unix ms. */
export type SignedNonce = {key: string; nonce: string; taskId: string; validUntil: number; now: number}

/** A run that begins. */
export type NewRun = Omit<
  JournalledRun,
  'returns' | 'pid' | 'start_time' | 'session_id' | 'cursor' | 'report' | 'resumes'
> & {
  returns?: number
}

type Key = Pick<JournalledRun, 'task_id' | 'attempt'>

const insert = `INSERT OR REPLACE INTO runs
  (task_id, attempt, returns, title, path, run_dir, marker, boot_id, agent, model, codebase_id, started_at)
  VALUES (:task_id, :attempt, :returns, :title, :path, :run_dir, :marker, :boot_id, :agent, :model, :codebase_id,
    :started_at)`

export type JournalOptions = {
  /** Frees reserved disk space when the disk is full. Returns false if there is none. */
  makeRoom?: () => boolean
}

/**
 * The durable record of a worker's runs: their agents, how much output is acknowledged, and the reports that must be
 * sent. What was committed survives a kill of the worker. A power cut may lose the last moments; the agents are dead
 * then, and the control plane requeues tasks that the worker does not know. On a full disk only new runs are refused:
 * everything else is kept in memory and written once there is space.
 */
export class Journal implements Disposable {
  readonly #file: string
  readonly #database: Database
  readonly #writes: WriteQueue
  readonly #statements: ReturnType<typeof prepare>

  private constructor(file: string, database: Database, makeRoom: () => boolean) {
    this.#file = file
    this.#database = database
    this.#writes = new WriteQueue(database, makeRoom)
    this.#statements = prepare(database)
  }

  /**
   * Opens the journal exclusively: only the worker itself uses it. Throws ExpectedError as `openDatabase`,
   * `checkDatabase` and `migrate` do.
   */
  static async open(file: string, {makeRoom = () => false}: JournalOptions = {}): Promise<Journal> {
    try {
      return await openAt(file, (database) => new Journal(file, database, makeRoom))
    } catch (error) {
      if (!isDiskFull(error) || !makeRoom()) throw error
      return await openAt(file, (database) => new Journal(file, database, makeRoom))
    }
  }

  /** Records a run. Committed when this returns, so that a crash before the agent's start is noticed. */
  begin(run: NewRun): void {
    this.#commit(nameOf('begin', run), () => this.#statements.begin.run({returns: 0, ...run}))
  }

  spawned(run: Key, pid: number, startTime: string): void {
    const {task_id, attempt} = run
    this.#writes.add(nameOf('spawned', run), () => this.#statements.spawned.run(pid, startTime, task_id, attempt))
  }

  /** Records that another agent will continue the run. Committed when this returns. */
  resumed(run: Key, bootId: string): void {
    const {task_id, attempt} = run
    this.#commit(nameOf('resumed', run), () => this.#statements.resumed.run(bootId, task_id, attempt))
  }

  session(run: Key, id: string): void {
    const {task_id, attempt} = run
    this.#writes.add(nameOf('session', run), () => this.#statements.session.run(id, task_id, attempt))
  }

  acknowledged(run: Key, cursor: number): void {
    const {task_id, attempt} = run
    this.#writes.add(nameOf('acknowledged', run), () => this.#statements.acknowledged.run(cursor, task_id, attempt))
  }

  /**
   * Saves the final report, which is sent until it is acknowledged. Committed when this returns. If it cannot be written,
   * returns the reason; it is then written as soon as possible.
   */
  saveReport(run: Key, report: unknown): string | undefined {
    const {task_id, attempt} = run
    const text = JSON.stringify(report)
    this.#writes.add(nameOf('report', run), () => this.#statements.report.run(text, task_id, attempt))
    const failure = this.#writes.retry()
    return failure === undefined ? undefined : failureReason(failure)
  }

  /** Removes a run that is acknowledged, or finally refused. */
  remove(run: Key): void {
    const {task_id, attempt} = run
    for (const what of names) this.#writes.drop(nameOf(what, run))
    this.#writes.add(nameOf('remove', run), () => this.#statements.remove.run(task_id, attempt))
  }

  /**
   * Binds the nonce of a signature to a task, unless it is bound. Returns the id of the task that it belongs to. Committed
   * when this returns, so that a copy of the task is recognized after a restart, too. Bindings of signatures that do not
   * count any more are removed.
   */
  bindNonce({key, nonce, taskId, validUntil, now}: SignedNonce): string {
    this.#commit(`nonce ${key} ${nonce}`, () => {
      this.#statements.forgetNonces.run(now)
      this.#statements.bindNonce.run(key, nonce, taskId, validUntil)
    })
    return String(this.#statements.boundTask.get(key, nonce)?.['task_id'])
  }

  /** Retries writes that failed on a full disk. */
  retryWrites(): void {
    this.#writes.retry()
  }

  /** All recorded runs. A damaged row is reported to `onUnreadable` and deleted. */
  unfinished(onUnreadable: (taskId: string) => void = () => {}): JournalledRun[] {
    this.#writes.retry()
    return this.#statements.unfinished.all().flatMap(({rowid, ...row}) => {
      const run = readRow(row)
      if (run) return [run]
      this.#writes.add(`discard ${rowid}`, () => this.#statements.discard.run(rowid ?? null))
      onUnreadable(String(row['task_id']))
      return []
    })
  }

  /** Writes that still find no space are lost. The control plane resolves the state of those runs. */
  [Symbol.dispose](): void {
    this.#writes.retry()
    this.#database.close()
  }

  #commit(name: string, step: () => unknown): void {
    this.#writes.add(name, step)
    try {
      this.#writes.flush()
    } catch (error) {
      this.#writes.drop(name)
      throw explainDatabase(this.#file, error)
    }
  }
}

const names = ['begin', 'spawned', 'resumed', 'session', 'acknowledged', 'report'] as const

/** A later write with the same name replaces an earlier one that is still queued. */
const nameOf = (what: (typeof names)[number] | 'remove', {task_id, attempt}: Key) => `${what} ${task_id}/${attempt}`

async function openAt(file: string, create: (database: Database) => Journal): Promise<Journal> {
  const database = await openDatabase(file, {exclusive: true})
  try {
    checkDatabase(database, file)
    migrate(database, file, migrations)
    return create(database)
  } catch (error) {
    database.close()
    throw explainDatabase(file, error)
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
  report: database.prepare('UPDATE runs SET report = ? WHERE task_id = ? AND attempt = ?'),
  remove: database.prepare('DELETE FROM runs WHERE task_id = ? AND attempt = ?'),
  forgetNonces: database.prepare('DELETE FROM nonces WHERE valid_until < ?'),
  bindNonce: database.prepare('INSERT OR IGNORE INTO nonces VALUES (?, ?, ?, ?)'),
  boundTask: database.prepare('SELECT task_id FROM nonces WHERE key = ? AND nonce = ?'),
  unfinished: withBigInts(database.prepare('SELECT rowid, * FROM runs ORDER BY rowid')),
})

function withBigInts<T extends {setReadBigInts(enabled: boolean): void}>(statement: T): T {
  statement.setReadBigInts(true)
  return statement
}
