import {randomUUID} from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import {errorCode} from '../../core/errors.ts'
import {identify} from '../../executor/processes/processes.ts'
import type {ProcessIdentity} from '../../executor/processes/processes.ts'
import {describeHolder, holderBytes, holderIn, type HolderCheck, type LockHolder} from './lock-holder.ts'

export type Lock = Disposable & {
  /** Makes another process (the agent) the holder. The lock then outlives this process. */
  transferTo(process: ProcessIdentity): void
}

/** Others may write in the folder of a lock, so no name there is followed, and nothing but a file is waited for. */
const unfollowed = constants.O_NOFOLLOW | constants.O_NONBLOCK
const unknownHolder: LockHolder = {pid: 0, start_time: '', boot_id: '', since: '', what: 'another process'}

/**
 * Acquires a lock file, or returns its holder. The file names a process and is valid only while that process lives and
 * `isOurs` says that it can hold the lock. So the file of a killed holder blocks nobody. Throws what the file system
 * throws.
 */
export function acquireLock(path: string, what: string, isOurs: HolderCheck = () => true): Lock | LockHolder {
  for (let tries = 0; tries < 5; tries++) {
    try {
      return createLock(path, createFile(path, what), what)
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error
      const holder = holderOf(path, isOurs)
      if (holder) return holder
      clearStale(path, isOurs)
    }
  }

  return holderOf(path, isOurs) ?? unknownHolder
}

/** A name beside the lock that nobody can know before. */
const besideName = (path: string) => `${path}.${randomUUID()}`

/** Creates the file atomically: it is written under another name, then linked. Throws EEXIST if it exists. */
function createFile(path: string, what: string): number {
  const draft = besideName(path)
  const file = openSync(draft, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | unfollowed, 0o600)
  try {
    writeHolder(file, identify(process.pid), what)
    linkSync(draft, path)
    return file
  } catch (error) {
    closeSync(file)
    throw error
  } finally {
    removeName(draft)
  }
}

/** Takes over a lock that an earlier process of ours transferred to `agent`. Undefined if `agent` does not hold it. */
export function reacquireLock(path: string, {pid, startTime}: ProcessIdentity, what: string): Lock | undefined {
  const file = openLock(path, constants.O_RDWR)
  if (file === undefined) return undefined
  const holder = holderIn(file, () => true)
  // A second name of the file would be a file of somebody else.
  if (holder?.pid === pid && holder.start_time === startTime && fstatSync(file).nlink === 1)
    return createLock(path, file, what)
  closeSync(file)
  return undefined
}

export const isLock = (result: Lock | LockHolder): result is Lock => 'transferTo' in result

function writeHolder(file: number, process: ProcessIdentity, what: string): void {
  const text = `${JSON.stringify(describeHolder(process, what)).padEnd(holderBytes)}\n`
  writeSync(file, text, 0)
  ftruncateSync(file, Buffer.byteLength(text))
}

/** Opens a lock file that is there. Undefined if it is missing, a link, or not ours to open. */
function openLock(path: string, access: number): number | undefined {
  try {
    return openSync(path, access | unfollowed)
  } catch {
    return undefined
  }
}

/** The current holder, or undefined. A directory at that place is somebody's, and stays. */
function holderOf(path: string, isOurs: HolderCheck): LockHolder | undefined {
  const file = openLock(path, constants.O_RDONLY)
  if (file === undefined) return undefined
  try {
    if (fstatSync(file).isDirectory()) return unknownHolder
    return holderIn(file, isOurs)
  } finally {
    closeSync(file)
  }
}

/**
 * Removes a stale file. It is renamed first: if two processes find it stale, the second cannot remove the lock that the
 * first has acquired meanwhile.
 */
function clearStale(path: string, isOurs: HolderCheck): void {
  const aside = besideName(path)
  try {
    renameSync(path, aside)
    if (holderOf(aside, isOurs)) linkSync(aside, path)
  } catch {
    // Another process was faster.
  } finally {
    removeName(aside)
  }
}

/** Removes a name, and never what it leads to. */
function removeName(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // It is gone, or a directory that somebody else has put there.
  }
}

const createLock = (path: string, file: number, what: string): Lock => ({
  transferTo: (holder) => writeHolder(file, holder, what),
  [Symbol.dispose]() {
    const [own, there] = [fstatSync(file), lstatSync(path, {throwIfNoEntry: false})]
    closeSync(file)
    if (there?.ino === own.ino && there.dev === own.dev) removeName(path)
  },
})
