import {rmSync, renameSync} from 'node:fs'
import {createIfMissing, explainDatabase, importQuietly, type Database} from '../../core/sqlite.ts'

/**
 * Copies a database that is in use to a file beside it, and returns the name of that file. It replaces an older copy once
 * the new one is complete. Other programs cannot make the copy: the database is locked. Pages are copied in a thread, so
 * requests are answered meanwhile. What is committed until the end is in the copy.
 */
export async function backUp(database: Database, file: string): Promise<string> {
  const copy = `${file}.backup`
  const unfinished = `${copy}.tmp`
  const {backup} = await importQuietly()
  try {
    rmSync(unfinished, {force: true})
    createIfMissing(unfinished) // only this user may read it
    await backup(database, unfinished)
    renameSync(unfinished, copy)
  } catch (error) {
    rmSync(unfinished, {force: true})
    throw explainDatabase(unfinished, error)
  }
  return copy
}
