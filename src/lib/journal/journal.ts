import {isDiskFull, reasonOf} from '../core/disk-full.ts'
import {checkDatabase, explainDatabase, migrate, openDatabase, type Database} from '../core/sqlite.ts'
import {readRow, type JournalledRun} from './journalled-run.ts'
import {WriteBehind} from './write-behind.ts'

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

export type JournalOptions = {
  /** Gives away room that was kept for this when the disk is full. False: there is none to give. */
  makeRoom?: () => boolean
}

/**
 * What a worker must not forget: its runs, how far their output was acknowledged, and what is still to be reported. What
 * was committed outlives a kill of the worker. A power cut may take the last moments; its agents are dead then, and the
 * server puts back a task that the worker no longer knows of. On a full disk only a run that is to begin is refused:
 * everything else is kept in memory, and written once there is room.
 */
export class Journal implements Disposable {
  readonly #file: string
  readonly #database: Database
  readonly #writes: WriteBehind
  readonly #statements: ReturnType<typeof prepare>

  private constructor(file: string, database: Database, makeRoom: () => boolean) {
    this.#file = file
    this.#database = database
    this.#writes = new WriteBehind(database, makeRoom)
    this.#statements = prepare(database)
  }

  /**
   * Held alone: only the worker itself opens its journal. Throws ExpectedError as `openDatabase`, `checkDatabase` and
   * `migrate` do.
   */
  static async open(file: string, {makeRoom = () => false}: JournalOptions = {}): Promise<Journal> {
    try {
      return await openAt(file, (database) => new Journal(file, database, makeRoom))
    } catch (error) {
      if (!isDiskFull(error) || !makeRoom()) throw error
      return await openAt(file, (database) => new Journal(file, database, makeRoom))
    }
  }

  /** Committed when this returns: the agent is started after it, so that a crash in between can be told. */
  begin(run: Omit<JournalledRun, 'pid' | 'start_time' | 'session_id' | 'cursor' | 'report' | 'resumes'>): void {
    this.#now(nameOf('begin', run), () => this.#statements.begin.run(run))
  }

  spawned(run: Key, pid: number, startTime: string): void {
    const {task_id, attempt} = run
    this.#writes.add(nameOf('spawned', run), () => this.#statements.spawned.run(pid, startTime, task_id, attempt))
  }

  /** Committed when this returns, as `begin`: the run is to be continued by another agent, of this boot. */
  resumed(run: Key, bootId: string): void {
    const {task_id, attempt} = run
    this.#now(nameOf('resumed', run), () => this.#statements.resumed.run(bootId, task_id, attempt))
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
   * Freezes the final report, which is sent until it is acknowledged. Committed when this returns; where the disk does
   * not take it, the answer is why, and it is written as soon as that is possible.
   */
  freeze(run: Key, report: unknown): string | undefined {
    const {task_id, attempt} = run
    const text = JSON.stringify(report)
    this.#writes.add(nameOf('freeze', run), () => this.#statements.freeze.run(text, task_id, attempt))
    const failure = this.#writes.retry()
    return failure === undefined ? undefined : reasonOf(failure)
  }

  /** The server has acknowledged all there is to know of it, or will never take it. */
  done(run: Key): void {
    const {task_id, attempt} = run
    for (const what of names) this.#writes.drop(nameOf(what, run))
    this.#writes.add(nameOf('done', run), () => this.#statements.done.run(task_id, attempt))
  }

  /** Writes what found no room before, if there is such. */
  catchUp(): void {
    this.#writes.retry()
  }

  /** A row that is no run, as the file was damaged, is told and taken out: it would be so at each start. */
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

  /** What has found no room until now is lost: the server is asked again, or asks, about those runs. */
  [Symbol.dispose](): void {
    this.#writes.retry()
    this.#database.close()
  }

  #now(name: string, step: () => unknown): void {
    this.#writes.add(name, step)
    try {
      this.#writes.flush()
    } catch (error) {
      this.#writes.drop(name)
      throw explainDatabase(this.#file, error)
    }
  }
}

const names = ['begin', 'spawned', 'resumed', 'session', 'acknowledged', 'freeze'] as const

/** What is written of a run under this name replaces what was to be written before. */
const nameOf = (what: (typeof names)[number] | 'done', {task_id, attempt}: Key) => `${what} ${task_id}/${attempt}`

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
  freeze: database.prepare('UPDATE runs SET report = ? WHERE task_id = ? AND attempt = ?'),
  done: database.prepare('DELETE FROM runs WHERE task_id = ? AND attempt = ?'),
  unfinished: withBigInts(database.prepare('SELECT rowid, * FROM runs ORDER BY rowid')),
})

function withBigInts<T extends {setReadBigInts(enabled: boolean): void}>(statement: T): T {
  statement.setReadBigInts(true)
  return statement
}
