import {renameSync, rmSync, statfsSync, statSync} from 'node:fs'
import {open} from 'node:fs/promises'
import {dirname} from 'node:path'
import {freeBytes} from '../../core/disk/free-space.ts'
import {isDiskFull} from '../../core/disk-full.ts'
import {createIfMissing, type Database, importQuietly} from '../../core/sqlite.ts'

const maxTries = 10

export type Backup = {file: string; bytes: number}

/** The disk would be too full for a copy. */
export class NoRoomForBackup extends Error {}

/**
 * Copies a database that is in use, to `FILE.backup` next to it. The copy is complete or not there, and replaces the one
 * before. No other program can make it: this process holds the lock of the database. Two calls at once share a copy.
 * Rejects with NoRoomForBackup if the copy would leave less than its own size free.
 */
export function createBackup(
  database: Database,
  file: string,
): {make: () => Promise<Backup>; over: () => Promise<void>} {
  let running: Promise<Backup> | undefined
  return {
    make: () => (running ??= backUp(database, file).finally(() => (running = undefined))),
    /** Resolves when no copy is being made. */
    over: async () => void (await running?.catch(() => {})),
  }
}

async function backUp(database: Database, file: string): Promise<Backup> {
  const [target, part] = [`${file}.backup`, `${file}.backup.part`]
  const size = sizeOf(database)
  const free = freeBytes(statfsSync(dirname(file)))
  if (free < 2 * size)
    throw new NoRoomForBackup(`${dirname(file)} has ${free} bytes free, and a copy of ${size} bytes must leave as much`)
  const {backup} = await importQuietly()
  try {
    await withRetries(async () => {
      rmSync(part, {force: true})
      createIfMissing(part) // only this user may read it
      await backup(database, part)
    })
    await sync(part)
    renameSync(part, target)
  } finally {
    for (const path of [part, `${part}-journal`, `${part}-wal`, `${part}-shm`]) rmSync(path, {force: true})
  }
  await sync(dirname(file))
  return {file: target, bytes: statSync(target).size}
}

/** A step of the copy may meet an open transaction, and then the copy fails: once in five at 1,700 transactions per second. */
async function withRetries(copy: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await copy()
    } catch (error) {
      if (tries === maxTries || isDiskFull(error)) throw error
    }
  }
}

function sizeOf(database: Database): number {
  const row = database.prepare('SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size').get()
  return Number(row?.['bytes'])
}

async function sync(path: string): Promise<void> {
  await using file = await open(path)
  await file.sync()
}
