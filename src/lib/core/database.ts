import type {DatabaseSync, StatementSync} from 'node:sqlite'
import {configError} from './errors.ts'
import {explainDatabase, openDatabase} from './sqlite.ts'

export type DatabaseOptions = {
  file: string
  migrations: readonly string[]
  /** Keeps every other process out for as long as this one lives (an OS lock, gone with the process). */
  exclusive?: boolean
}

/**
 * A SQLite database with group commit: all writes of one turn of the event loop share one transaction, and whoever
 * must not speak before it is on disk awaits `committed()`. WAL with synchronous=FULL: what was acknowledged survives
 * kill -9 and a power cut.
 */
export class Database implements Disposable {
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  #waiting: (() => void)[] = []
  #failed: unknown
  #open = false

  private constructor(db: DatabaseSync) {
    this.#db = db
  }

  /** Throws ExpectedError: locked by another process (75), not writable (73), not a database of ours (78). */
  static async open({file, migrations, exclusive = false}: DatabaseOptions): Promise<Database> {
    const db = await openDatabase(file, {exclusive})
    try {
      migrate(db, file, migrations)
      return new Database(db)
    } catch (error) {
      db.close()
      throw explainDatabase(file, error)
    }
  }

  /** A prepared statement, kept. */
  statement(sql: string): StatementSync {
    let found = this.#statements.get(sql)
    if (!found) {
      found = this.#db.prepare(sql)
      this.#statements.set(sql, found)
    }

    return found
  }

  /** Runs a write in the open transaction, or in a new one that is committed at the end of this turn. */
  write(sql: string, ...values: (string | number | null | Uint8Array)[]): number {
    if (!this.#open) {
      this.#db.exec('BEGIN IMMEDIATE')
      this.#open = true
      setImmediate(() => this.commit())
    }

    return Number(this.statement(sql).run(...values).changes)
  }

  /** Resolves when everything written so far is on disk. Rejects when it could not be written. */
  committed(): Promise<void> {
    if (!this.#open) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => (this.#failed === undefined ? resolve() : reject(this.#failed as Error)))
    })
  }

  /** Commits now; also what a close does. */
  commit(): void {
    if (!this.#open) return
    this.#open = false
    this.#failed = undefined
    try {
      this.#db.exec('COMMIT')
    } catch (error) {
      this.#failed = error
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
    }

    for (const settle of this.#waiting.splice(0)) settle()
  }

  [Symbol.dispose](): void {
    this.commit()
    this.#db.close()
  }
}

function migrate(db: DatabaseSync, file: string, migrations: readonly string[]): void {
  const version = Number(Object.values(db.prepare('PRAGMA user_version').get() ?? {})[0] ?? 0)
  if (version > migrations.length)
    throw configError(
      `The database ${file} was written by a newer version (schema ${version}, known ${migrations.length}).`,
      'Use that version, or another file.',
    )
  for (let next = version; next < migrations.length; next++)
    db.exec(`BEGIN IMMEDIATE; ${migrations[next]}; PRAGMA user_version=${next + 1}; COMMIT`)
}
