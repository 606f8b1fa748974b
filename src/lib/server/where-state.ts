import {existsSync, renameSync} from 'node:fs'
import {configError, usageError} from '../core/errors.ts'
import {importQuietly} from '../core/sqlite.ts'
import {counted} from '../core/text/counted.ts'

export type StateFlags = {
  /** The database that was asked for. */
  db: string | undefined
  redisUrl: string | undefined
  /** The database to move into Redis. */
  importFile: string | undefined
  /** The database that counts without a flag. */
  defaultFile: string
}

/** Where a control plane keeps its state: in a file, with Redis for announcements only, or in Redis. */
export type WhereState = {in: 'file'; file: string} | {in: 'redis'; url: string; importFile: string | undefined}

/**
 * Decides where the state is. Throws ExpectedError: a database with content would be left behind, or there is nothing to
 * import (78); flags that do not go together (2).
 */
export async function whereState({db, redisUrl, importFile, defaultFile}: StateFlags): Promise<WhereState> {
  if (importFile !== undefined && (redisUrl === undefined || db !== undefined))
    throw usageError('--import moves a database into Redis: it needs --redis-url, and no --db.')
  if (redisUrl === undefined || db !== undefined) return {in: 'file', file: db ?? defaultFile}
  if (importFile !== undefined && !existsSync(importFile))
    throw configError(
      `There is no database ${importFile} to import.`,
      ...(existsSync(importedName(importFile))
        ? [`It was imported before, and is ${importedName(importFile)} now: omit --import.`]
        : []),
    )
  const content = importFile === undefined ? await contentOf(defaultFile) : undefined
  if (content !== undefined)
    throw configError(
      `With --redis-url the state is in Redis, but ${defaultFile} has ${content}, which would be left behind.`,
      `Move it into Redis: add --import ${defaultFile}`,
      `Keep it in the file, and let Redis only announce tasks: add --db ${defaultFile}`,
    )
  return {in: 'redis', url: redisUrl, importFile}
}

/** SQLITE_BUSY (sqlite.org/rescode.html). */
const busy = 5

/** The name of a database once it was imported. */
export const importedName = (file: string) => `${file}.imported`

/** Puts a database aside that is in Redis now, so that nobody uses it by mistake. */
export function putAside(file: string): void {
  for (const suffix of ['', '-wal', '-shm'])
    if (existsSync(`${file}${suffix}`)) renameSync(`${file}${suffix}`, `${importedName(file)}${suffix}`)
}

/** What a database has, for people. Undefined: nothing, or it is no database of a control plane. */
export async function contentOf(file: string): Promise<string | undefined> {
  if (!existsSync(file)) return undefined
  const {DatabaseSync} = await importQuietly()
  try {
    const database = new DatabaseSync(file, {readOnly: true})
    try {
      const count = (table: string) => Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n'])
      const [workers, codebases, tasks] = ['workers', 'codebases', 'tasks'].map((table) => count(table))
      const found = [counted(workers ?? 0, 'worker'), counted(codebases ?? 0, 'codebase'), counted(tasks ?? 0, 'task')]
      return (workers ?? 0) + (codebases ?? 0) + (tasks ?? 0) > 0 ? found.join(', ') : undefined
    } finally {
      database.close()
    }
  } catch (error) {
    const isBusy = ((error as {errcode?: number}).errcode ?? 0) % 256 === busy
    return isBusy ? 'a control plane that uses it now' : undefined
  }
}
