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
import {join} from 'node:path'
import * as v from 'valibot'
import {isoTime} from '../../core/clock.ts'
import {diskFullError, isDiskFull} from '../../core/disk-full.ts'
import {errorCode, ExpectedError} from '../../core/errors.ts'
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
export type Holder = v.InferOutput<typeof holderSchema>

export type Lock = Disposable & {
  /** Hands the lock to another process (the agent), which keeps it if this one dies. */
  handTo(process: ProcessIdentity): void
}

/** A file without a holder in it is not of our making; whoever makes it so is given this long to write one. */
const unwrittenMs = 5000
/** All holders take as much room: one takes another's place in one go, and nobody reads half of either. */
const holderBytes = 512
const nobody: Holder = {pid: 0, start_time: '', boot_id: '', since: '', what: 'another process'}

/**
 * Takes a lock file, or says who holds it. The file names a process, and counts for as long as that process lives: a
 * holder that was killed leaves a file that nobody minds. Throws what the file system throws.
 */
export function takeLock(path: string, what: string): Lock | Holder {
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

  return holderOf(path) ?? nobody
}

/** Written under another name and then put in its place, as a whole or not at all. Throws EEXIST where there is one. */
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

/** The lock that this process holds by name, as ours again: an earlier process of ours had handed it over. */
export function takeOver(path: string, {pid, startTime}: ProcessIdentity, what: string): Lock | undefined {
  const holder = holderOf(path)
  if (holder?.pid !== pid || holder.start_time !== startTime) return undefined
  return createLock(path, openSync(path, 'r+'), what)
}

export const isLock = (result: Lock | Holder): result is Lock => 'handTo' in result

function writeHolder(file: number, {pid, startTime}: ProcessIdentity, what: string): void {
  const holder: Holder = {pid, start_time: startTime, boot_id: bootId() ?? '', since: isoTime(Date.now()), what}
  const text = `${JSON.stringify(holder).padEnd(holderBytes)}\n`
  writeSync(file, text, 0)
  ftruncateSync(file, Buffer.byteLength(text))
}

/** Who holds it now; undefined when nobody does. */
function holderOf(path: string): Holder | undefined {
  try {
    const parsed = v.safeParse(holderSchema, parseJson(readFileSync(path, 'utf8')))
    if (parsed.success) return isHeld(parsed.output) ? parsed.output : undefined
    // From the future, if the clock was set back: that is no sign of life either.
    return Math.abs(Date.now() - statSync(path).mtimeMs) < unwrittenMs ? nobody : undefined
  } catch {
    return undefined
  }
}

const isHeld = (holder: Holder) =>
  (holder.boot_id === '' || holder.boot_id === (bootId() ?? '')) &&
  isAlive({pid: holder.pid, startTime: holder.start_time})

/** Moves it away first: of two that find it stale, the second moves away nothing but what the first did not take. */
function clearStale(path: string): void {
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
    if (holderOf(aside)) linkSync(aside, path)
  } catch {
    // Somebody else was quicker.
  } finally {
    rmSync(aside, {force: true})
  }
}

const createLock = (path: string, file: number, what: string): Lock => ({
  handTo: (holder) => writeHolder(file, holder, what),
  [Symbol.dispose]() {
    closeSync(file)
    rmSync(path, {force: true})
  },
})

/** Throws ExpectedError: another process has this name (75), the disk is full (73). `makeRoom`: as of the journal. */
export function takeNameLock(workerDir: string, name: string, makeRoom = () => false): Disposable {
  const take = () => takeLock(join(workerDir, 'lock'), `worker ${name}`)
  const lock = withRoom(take, makeRoom, workerDir)
  if (isLock(lock)) return lock
  throw new ExpectedError(`A worker named '${name}' runs already: pid ${lock.pid}, since ${lock.since}.`, {
    code: 'WORKER_RUNNING',
    exit: 'temporary',
    suggestions: ['Stop it, or give this one another name with --name.'],
  })
}

/** On a full disk once more when room could be made. That nobody has the name is known by then. */
function withRoom<T>(take: () => T, makeRoom: () => boolean, workerDir: string): T {
  try {
    return take()
  } catch (error) {
    if (!isDiskFull(error)) throw error
    if (makeRoom()) return take()
    throw diskFullError(`no lock can be written in ${workerDir}`, workerDir, error)
  }
}
