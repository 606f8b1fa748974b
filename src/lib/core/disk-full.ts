import {statfsSync} from 'node:fs'
import {ExpectedError, messageOf} from './errors.ts'

/** Result codes of SQLite (sqlite.org/rescode.html): no room, and a write that failed otherwise, as one over a quota. */
const sqliteFull = 13
const sqliteWriteFailed = 778
/** What is left of a full disk: a block or two that a write of many found too small. */
const nothingBytes = 64 * 1024

/** Did it fail for want of room? The system says ENOSPC also when no watch of files is left: that is no such thing. */
export function isDiskFull(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const {code, syscall, errcode = 0} = at as {code?: unknown; syscall?: unknown; errcode?: number}
    if ((code === 'ENOSPC' || code === 'EDQUOT') && syscall !== 'watch') return true
    if ((errcode & 0xff) === sqliteFull || errcode === sqliteWriteFailed) return true
  }

  return false
}

/** The reason of a failure in words; that the disk is full is said as it is, whoever found it. */
export function reasonOf(error: unknown): string {
  const text = messageOf(error)
  return isDiskFull(error) && !text.includes('disk is full') ? `the disk is full: ${text}` : text
}

/** Does a program say that it found no room? The same words are used of watches, as in `isDiskFull`. */
export const saysDiskFull = (text: string) =>
  text
    .split('\n')
    .some(
      (line) => /no space left on device|disk is full|disk quota exceeded/i.test(line) && !/inotify|watch/i.test(line),
    )

/** Is there no room at all now? False where that cannot be told. */
export function isFullNow(folder: string): boolean {
  try {
    const {bavail, bsize} = statfsSync(folder)
    return hasNoRoom(bavail * bsize)
  } catch {
    return false
  }
}

export const hasNoRoom = (freeBytes: number) => freeBytes < nothingBytes

/** Exit 73: what could not be written, and the way out. */
export const diskFullError = (what: string, folder: string, cause: unknown) =>
  new ExpectedError(`the disk is full: ${what}`, {
    code: 'DISK_FULL',
    exit: 'cannotWrite',
    suggestions: [`Make room on the disk of ${folder}: \`df -h ${folder}\` shows it`],
    cause,
  })
