import {chmodSync, closeSync, fdatasync as fdatasyncCallback, mkdirSync, openSync, statSync} from 'node:fs'
import {dirname} from 'node:path'
import {promisify} from 'node:util'
import type {DatabaseSync as Database} from 'node:sqlite'
import {diskFullError, isDiskFull} from './disk-full.ts'
import {configError, errorCode, ExpectedError, messageOf} from './errors.ts'

export type {Database}

/** Result codes of SQLite (sqlite.org/rescode.html), the low byte of `errcode`. */
const sqlError = 1
const busy = 5
const readOnly = 8
const failedIo = 10
const corrupt = 11
const cannotOpen = 14
const notADatabase = 26

export type OpenOptions = {
  /** Takes the operating system's lock on the file. It ends with the process. */
  exclusive: boolean
}

/**
 * Opens or creates a database in WAL mode. A commit survives a kill of the process at once, and a power cut once it was
 * synced (`walSync`). Throws ExpectedError: locked (75), not writable or disk full (73), not usable (78).
 */
export async function openDatabase(file: string, {exclusive}: OpenOptions): Promise<Database> {
  const {DatabaseSync} = await importQuietly()
  let database: Database | undefined
  try {
    if (file !== ':memory:') {
      mkdirSync(dirname(file), {recursive: true, mode: 0o700})
      makePrivate(file)
    }

    database = new DatabaseSync(file, {timeout: exclusive ? 0 : 5000})
    if (exclusive) database.exec('PRAGMA locking_mode = EXCLUSIVE')
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY')
    database.exec('BEGIN IMMEDIATE; COMMIT') // takes the lock now instead of at the first request
    return database
  } catch (error) {
    database?.close()
    throw explainDatabase(file, error)
  }
}

/** Creates an empty file that only this user may read. */
export function createIfMissing(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  }
}

/**
 * Lets only this user read the database and its log: they contain prompts, output and sessions. SQLite would create them
 * with the umask. It gives its log the mode of the database. A file of an earlier version is repaired. An existing file is
 * never opened here: closing it would release the locks that this process already has on it (fcntl(2)).
 */
function makePrivate(file: string): void {
  createIfMissing(file)
  for (const path of [file, `${file}-wal`, `${file}-shm`]) {
    const mode = statSync(path, {throwIfNoEntry: false})?.mode ?? 0
    if ((mode & 0o077) === 0) continue
    try {
      chmodSync(path, mode & 0o700)
    } catch {
      // it belongs to another user, who lets this one write to it
    }
  }
}

/**
 * Syncs a database's WAL to disk in a thread of the pool. SQLite does the same with synchronous=FULL, but blocks the event
 * loop. The database must stay open, because its WAL is then the same file.
 */
export function walSync(file: string): {sync: () => Promise<void>; close: () => void} {
  let log: number | undefined
  return {
    sync: () => fdatasync((log ??= openSync(`${file}-wal`, 'r+'))),
    close: () => {
      if (log !== undefined) closeSync(log)
    },
  }
}

/** Gives the space of the WAL back to the disk. Does nothing while a transaction is open. */
export function shortenLog(database: Database): void {
  if (!database.isTransaction) database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
}

const fdatasync = promisify(fdatasyncCallback)

/**
 * Migrates a database to the newest version. Returns the version that it had, 0 for a new one. Each step is atomic, and `user_version` counts the steps. Throws
 * ExpectedError (78) if a newer version of this program wrote the database.
 */
export function migrate(database: Database, file: string, migrations: readonly string[]): number {
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0)
  if (version > migrations.length)
    throw configError(
      `the database ${file} was written by a newer version of a2a-worker (schema ${version}, known ${migrations.length})`,
      'Update a2a-worker, or name another file',
    )
  for (const [index, sql] of migrations.entries())
    if (index >= version) database.exec(`BEGIN IMMEDIATE; ${sql}; PRAGMA user_version = ${index + 1}; COMMIT`)
  return version
}

/** Checks a small database for damage, including its indexes. Throws ExpectedError (78). */
export function checkDatabase(database: Database, file: string): void {
  const found = database.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check']
  if (found !== 'ok') throw explainDatabase(file, Object.assign(new Error(String(found)), {errcode: corrupt}))
}

/** Translates a failure of SQLite to an ExpectedError for the user. Returns any other error unchanged. */
export function explainDatabase(file: string, error: unknown): Error {
  const {errcode, code} = error as {errcode?: number; code?: string}
  const primary = (errcode ?? 0) & 0xff
  if (isDiskFull(error)) return diskFullError(`the database ${file} cannot be written`, dirname(file), error)
  if (primary === busy)
    return new ExpectedError(`another process holds the database ${file}`, {
      code: 'DATABASE_LOCKED',
      exit: 'temporary',
      suggestions: ['Use the one that runs, or name another file'],
      cause: error,
    })
  // A syntax error in one of our statements means that the tables are not ours.
  if (primary === corrupt || primary === notADatabase || primary === sqlError)
    return new ExpectedError(`${file} is not a usable database: ${messageOf(error)}`, {
      code: 'DATABASE_CORRUPT',
      exit: 'config',
      suggestions: ['Move the file away, or restore it from a backup, and start again'],
      cause: error,
    })
  if (primary === cannotOpen || primary === readOnly || primary === failedIo || code?.startsWith('E'))
    return new ExpectedError(`cannot write the database ${file}: ${messageOf(error)}`, {
      code: 'DATABASE_UNWRITABLE',
      exit: 'cannotWrite',
      suggestions: [`Make ${dirname(file)} a folder that you may write to, or name another file with --db`],
      cause: error,
    })
  return error as Error
}

/** Imports `node:sqlite`. Suppresses only Node 22's warning that it is experimental. */
export async function importQuietly(): Promise<typeof import('node:sqlite')> {
  const original = process.emitWarning
  process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
    const text = typeof warning === 'string' ? warning : warning.message
    if (!text.startsWith('SQLite is an experimental feature')) Reflect.apply(original, process, [warning, ...rest])
  }) as typeof process.emitWarning
  try {
    return await import('node:sqlite')
  } finally {
    process.emitWarning = original
  }
}
