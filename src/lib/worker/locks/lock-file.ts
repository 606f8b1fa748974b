import {
  closeSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
  linkSync,
} from 'node:fs'
import * as v from 'valibot'
import {isoTime} from '../../core/clock.ts'
import {errorCode} from '../../core/errors.ts'
import {bootId, identify, isAlive} from '../../executor/processes.ts'
import type {ProcessIdentity} from '../../executor/executor.ts'
import {parseJson} from '../../protocol/parse.ts'

const holderSchema = v.object({
  pid: v.number(),
  start_time: v.string(),
  boot_id: v.string(),
  since: v.string(),
  what: v.string(),
})
export type LockHolder = v.InferOutput<typeof holderSchema>

export type Lock = Disposable & {
  /** Makes another process (the agent) the holder. The lock then outlives this process. */
  transferTo(process: ProcessIdentity): void
}

/** A lock file without a holder comes from another program. For this long, it counts as being written. */
const unwrittenMs = 5000
/** All records have the same size, so that one write replaces a record and no reader finds half of one. */
const holderBytes = 512
const unknownHolder: LockHolder = {pid: 0, start_time: '', boot_id: '', since: '', what: 'another process'}

/**
 * Acquires a lock file, or returns its holder. The file names a process and is valid only while that process lives, so
 * the file of a killed holder blocks nobody. Throws what the file system throws.
 */
export function acquireLock(path: string, what: string): Lock | LockHolder {
  for (let tries = 0; tries < 5; tries++) {
    try {
      return createLock(path, createFile(path, what), what)
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error
      const holder = holderOf(path)
      if (holder) return holder
      clearStale(path)
    }
  }

  return holderOf(path) ?? unknownHolder
}

/** Creates the file atomically: it is written under another name, then linked. Throws EEXIST if it exists. */
function createFile(path: string, what: string): number {
  const draft = `${path}.${process.pid}`
  const file = openSync(draft, 'w', 0o600)
  try {
    writeHolder(file, identify(process.pid), what)
    linkSync(draft, path)
    return file
  } catch (error) {
    closeSync(file)
    throw error
  } finally {
    rmSync(draft, {force: true})
  }
}

/** Takes over a lock that an earlier process of ours transferred to `agent`. Undefined if `agent` does not hold it. */
export function reacquireLock(path: string, {pid, startTime}: ProcessIdentity, what: string): Lock | undefined {
  const holder = holderOf(path)
  if (holder?.pid !== pid || holder.start_time !== startTime) return undefined
  return createLock(path, openSync(path, 'r+'), what)
}

export const isLock = (result: Lock | LockHolder): result is Lock => 'transferTo' in result

function writeHolder(file: number, {pid, startTime}: ProcessIdentity, what: string): void {
  const holder: LockHolder = {pid, start_time: startTime, boot_id: bootId() ?? '', since: isoTime(Date.now()), what}
  const text = `${JSON.stringify(holder).padEnd(holderBytes)}\n`
  writeSync(file, text, 0)
  ftruncateSync(file, Buffer.byteLength(text))
}

/** The current holder, or undefined. */
function holderOf(path: string): LockHolder | undefined {
  try {
    const parsed = v.safeParse(holderSchema, parseJson(readFileSync(path, 'utf8')))
    if (parsed.success) return isHeld(parsed.output) ? parsed.output : undefined
    // A time in the future means that the clock was set back. That does not prove a live writer either.
    return Math.abs(Date.now() - statSync(path).mtimeMs) < unwrittenMs ? unknownHolder : undefined
  } catch {
    return undefined
  }
}

const isHeld = (holder: LockHolder) =>
  (holder.boot_id === '' || holder.boot_id === (bootId() ?? '')) &&
  isAlive({pid: holder.pid, startTime: holder.start_time})

/**
 * Removes a stale file. It is renamed first: if two processes find it stale, the second cannot remove the lock that the
 * first has acquired meanwhile.
 */
function clearStale(path: string): void {
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
    if (holderOf(aside)) linkSync(aside, path)
  } catch {
    // Another process was faster.
  } finally {
    rmSync(aside, {force: true})
  }
}

const createLock = (path: string, file: number, what: string): Lock => ({
  transferTo: (holder) => writeHolder(file, holder, what),
  [Symbol.dispose]() {
    closeSync(file)
    rmSync(path, {force: true})
  },
})
