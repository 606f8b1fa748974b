import {linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync} from 'node:fs'
import * as v from 'valibot'
import {isoTime} from '../core/clock.ts'
import {errorCode} from '../core/errors.ts'
import {bootId, identify, isAlive} from '../executor/processes.ts'
import type {ProcessIdentity} from '../executor/executor.ts'
import {parseJson} from '../protocol/parse.ts'

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

/**
 * Takes a lock file, or says who holds it. The file names a process, and counts for as long as that process lives: a
 * holder that was killed leaves a file that nobody minds. Throws what the file system throws.
 */
export function takeLock(path: string, what: string): Lock | Holder {
  const own = identify(process.pid)
  const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`
  const text = (holder: ProcessIdentity) =>
    `${JSON.stringify({pid: holder.pid, start_time: holder.startTime, boot_id: bootId() ?? '', since: isoTime(Date.now()), what})}\n`
  writeFileSync(temporary, text(own), {mode: 0o600})
  try {
    for (let tries = 0; tries < 5; tries++) {
      try {
        // A link is there whole or not at all, and fails when somebody else was first.
        linkSync(temporary, path)
        return createLock(path, text)
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') throw error
        const holder = readHolder(path)
        if (holder && holds(holder)) return holder
        clearStale(path)
      }
    }
  } finally {
    unlinkSync(temporary)
  }

  return readHolder(path) ?? {pid: 0, start_time: '', boot_id: '', since: '', what: 'another process'}
}

export const isLock = (result: Lock | Holder): result is Lock => 'handTo' in result

const holds = (holder: Holder) =>
  (holder.boot_id === '' || holder.boot_id === (bootId() ?? '')) &&
  isAlive({pid: holder.pid, startTime: holder.start_time})

function readHolder(path: string): Holder | undefined {
  try {
    const parsed = v.safeParse(holderSchema, parseJson(readFileSync(path, 'utf8')))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/** Moves it away first: of two that find it stale, the second moves away nothing but what the first did not take. */
function clearStale(path: string): void {
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
    const holder = readHolder(aside)
    if (holder && holds(holder)) linkSync(aside, path)
  } catch {
    // Somebody else was quicker.
  } finally {
    rmSync(aside, {force: true})
  }
}

function createLock(path: string, text: (holder: ProcessIdentity) => string): Lock {
  return {
    handTo(holder) {
      const temporary = `${path}.${process.pid}.next`
      writeFileSync(temporary, text(holder), {mode: 0o600})
      renameSync(temporary, path)
    },
    [Symbol.dispose]: () => rmSync(path, {force: true}),
  }
}
