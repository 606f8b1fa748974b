import {Database} from '../core/database.ts'

/** A run as it is kept from before its spawn until its final status is acknowledged. */
export type JournalledRun = {
  task_id: string
  attempt: number
  title: string
  path: string
  run_dir: string
  marker: string
  boot_id: string
  pid: number | null
  start_time: string | null
  session_id: string | null
  /** Bytes of the spool that the server has acknowledged. */
  cursor: number
  /** The final report as it will be sent, frozen; null while the run goes on. */
  report: string | null
}

const migrations = [
  `CREATE TABLE runs (
    task_id TEXT NOT NULL, attempt INTEGER NOT NULL, title TEXT NOT NULL, path TEXT NOT NULL, run_dir TEXT NOT NULL,
    marker TEXT NOT NULL, boot_id TEXT NOT NULL, pid INTEGER, start_time TEXT, session_id TEXT,
    cursor INTEGER NOT NULL DEFAULT 0, report TEXT, PRIMARY KEY (task_id, attempt)
  )`,
] as const

type Key = Pick<JournalledRun, 'task_id' | 'attempt'>

/** What a worker must not forget: its runs, how far their output was acknowledged, and what is still to be reported. */
export class Journal implements Disposable {
  readonly #db: Database

  private constructor(db: Database) {
    this.#db = db
  }

  /** Throws ExpectedError as Database.open does. Held alone: only the worker itself opens its journal. */
  static async open(file: string): Promise<Journal> {
    return new Journal(await Database.open({file, migrations, exclusive: true}))
  }

  /** On disk when this returns: the agent is started after it, so that a crash in between can be told. */
  begin(run: Omit<JournalledRun, 'pid' | 'start_time' | 'session_id' | 'cursor' | 'report'>): void {
    this.#db.write(
      `INSERT OR REPLACE INTO runs (task_id, attempt, title, path, run_dir, marker, boot_id) VALUES (?,?,?,?,?,?,?)`,
      run.task_id,
      run.attempt,
      run.title,
      run.path,
      run.run_dir,
      run.marker,
      run.boot_id,
    )
    this.#db.commit()
  }

  spawned({task_id, attempt}: Key, pid: number, startTime: string): void {
    this.#db.write(
      'UPDATE runs SET pid=?, start_time=? WHERE task_id=? AND attempt=?',
      pid,
      startTime,
      task_id,
      attempt,
    )
  }

  session({task_id, attempt}: Key, id: string): void {
    this.#db.write('UPDATE runs SET session_id=? WHERE task_id=? AND attempt=?', id, task_id, attempt)
  }

  acknowledged({task_id, attempt}: Key, cursor: number): void {
    this.#db.write('UPDATE runs SET cursor=? WHERE task_id=? AND attempt=?', cursor, task_id, attempt)
  }

  /** Freezes the final report: on disk when this returns, and sent until it is acknowledged. */
  freeze({task_id, attempt}: Key, report: unknown): void {
    const sql = 'UPDATE runs SET report=? WHERE task_id=? AND attempt=?'
    this.#db.write(sql, JSON.stringify(report), task_id, attempt)
    this.#db.commit()
  }

  /** The server has acknowledged all there is to know of it, or will never take it. */
  done({task_id, attempt}: Key): void {
    this.#db.write('DELETE FROM runs WHERE task_id=? AND attempt=?', task_id, attempt)
  }

  unfinished(): JournalledRun[] {
    return this.#db.statement('SELECT * FROM runs ORDER BY rowid').all() as unknown as JournalledRun[]
  }

  [Symbol.dispose](): void {
    this.#db[Symbol.dispose]()
  }
}
