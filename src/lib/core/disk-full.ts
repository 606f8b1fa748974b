import {statfsSync} from 'node:fs'
import {ExpectedError, messageOf} from './errors.ts'
import {freeBytes} from './disk/free-space.ts'

/** Result codes of SQLite (sqlite.org/rescode.html): disk full, and a failed write, for example over a quota. */
const sqliteFull = 13
const sqliteWriteFailed = 778
/** A disk with less free space counts as full: a few blocks may remain that are too small for a write. */
const fullBelowBytes = 64 * 1024

/** Whether an error means a full disk. ENOSPC of `watch` does not: it means that no file watches are left. */
export function isDiskFull(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const {code, syscall, errcode = 0} = at as {code?: unknown; syscall?: unknown; errcode?: number}
    if ((code === 'ENOSPC' || code === 'EDQUOT') && syscall !== 'watch') return true
    if ((errcode & 0xff) === sqliteFull || errcode === sqliteWriteFailed) return true
  }

  return false
}

/** The message of an error. It always names a full disk as such. */
export function failureReason(error: unknown): string {
  const text = messageOf(error)
  return isDiskFull(error) && !text.includes('disk is full') ? `the disk is full: ${text}` : text
}

/** Whether the output of a program mentions a full disk. Lines about file watches do not count, as in `isDiskFull`. */
export const mentionsDiskFull = (text: string) =>
  text
    .split('\n')
    .some(
      (line) => /no space left on device|disk is full|disk quota exceeded/i.test(line) && !/inotify|watch/i.test(line),
    )

/** Whether the disk is full now. False if that is unknown. */
export function isFullNow(folder: string): boolean {
  try {
    return hasNoRoom(freeBytes(statfsSync(folder)))
  } catch {
    return false
  }
}

export const hasNoRoom = (freeBytes: number) => freeBytes < fullBelowBytes

/** An error with exit code 73 that names what could not be written. */
export const diskFullError = (what: string, folder: string, cause: unknown) =>
  new ExpectedError(`the disk is full: ${what}`, {
    code: 'DISK_FULL',
    exit: 'cannotWrite',
    suggestions: [`Free some space on the disk of ${folder}: \`df -h ${folder}\` shows it`],
    cause,
  })
