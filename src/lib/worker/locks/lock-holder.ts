import {fstatSync, readSync, statSync} from 'node:fs'
import * as v from 'valibot'
import {isoTime} from '../../core/clock.ts'
import type {ProcessIdentity} from '../../executor/processes/processes.ts'
import {isRunGroup} from '../../executor/processes/run-groups.ts'
import {bootId, hasProc, isAlive, isWorkerProcess, markerOf} from '../../executor/processes/processes.ts'
import {parseJson} from '../../protocol/parse.ts'

const holderSchema = v.object({
  pid: v.number(),
  start_time: v.string(),
  boot_id: v.string(),
  since: v.string(),
  what: v.string(),
  /** Folder of its control group, if /proc hides it: it then has no start time. */
  cgroup: v.optional(v.string()),
})
/** The process that a lock file names. */
export type LockHolder = v.InferOutput<typeof holderSchema>

/** Whether a live process can hold a lock whose file belongs to the user `owner`. */
export type HolderCheck = (holder: LockHolder, owner: number) => boolean

/** All records have the same size, so that one write replaces a record and no reader finds half of one. */
export const holderBytes = 512
/** A lock file without a holder comes from another program. For this long, it counts as being written. */
const unwrittenMs = 5000
const unwrittenHolder: LockHolder = {pid: 0, start_time: '', boot_id: '', since: '', what: 'another process'}

/** The record of a holder. */
export const describeHolder = ({pid, startTime, cgroup}: ProcessIdentity, what: string): LockHolder => ({
  pid,
  start_time: startTime,
  boot_id: bootId() ?? '',
  since: isoTime(Date.now()),
  what,
  cgroup,
})

/** The holder that an open lock file names. Undefined if it names none that lives and can hold it. */
export function holderIn(file: number, isOurs: HolderCheck): LockHolder | undefined {
  const stat = fstatSync(file)
  if (!stat.isFile()) return undefined
  const bytes = Buffer.alloc(2 * holderBytes)
  const parsed = v.safeParse(holderSchema, parseJson(bytes.toString('utf8', 0, readSync(file, bytes, {position: 0}))))
  if (parsed.success) return isHeld(parsed.output) && isOurs(parsed.output, stat.uid) ? parsed.output : undefined
  // A time in the future means that the clock was set back. That does not prove a live writer either.
  return Math.abs(Date.now() - stat.mtimeMs) < unwrittenMs ? unwrittenHolder : undefined
}

const isHeld = (holder: LockHolder) =>
  (holder.boot_id === '' || holder.boot_id === (bootId() ?? '')) &&
  isAlive({pid: holder.pid, startTime: holder.start_time, ...(holder.cgroup ? {cgroup: holder.cgroup} : {})})

/**
 * Whether the process is a worker or an agent of one. The environment of an agent of another user cannot be read. There
 * it counts that the user of the file is the user of the process, so nobody can name a process of somebody else.
 */
export function isWorkerOrAgent({pid, cgroup}: LockHolder, owner: number): boolean {
  if (cgroup !== undefined) return isRunGroup(cgroup) // it is alive in there
  if (!hasProc || pid === process.pid || isWorkerProcess(pid) || markerOf(pid) !== undefined) return true
  const user = statSync(`/proc/${pid}`, {throwIfNoEntry: false})?.uid
  return process.getuid?.() !== 0 && user !== process.getuid?.() && user === owner
}
