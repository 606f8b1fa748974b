import {isoTime, type Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import {counted} from '../core/text/counted.ts'
import {requestRetentionMs} from './rules/tasks/create-task.ts'
import type {DiskGuard} from './store/disk-guard.ts'
import type {Maintenance} from './store/maintenance.ts'
import type {Log} from './streams/activity-lines.ts'

/** Limits on ended tasks, their stored output, and the audit. */
export type Retention = {
  /** Output is dropped, and tasks are removed, when they have ended for longer than this. */
  maxAgeMs: number
  taskAgeMs: number
  /** Of the output of all ended tasks together. */
  maxBytes: number
  /** Entries of the audit are removed when they are older, or when there are more. */
  auditAgeMs: number
  auditRows: number
  /** How often the limits are checked. */
  intervalMs: number
}

const dayMs = 24 * 60 * 60_000

export const defaultRetention: Retention = {
  maxAgeMs: 30 * dayMs,
  taskAgeMs: 30 * dayMs,
  maxBytes: 2 * 1024 ** 3,
  auditAgeMs: 90 * dayMs,
  auditRows: 1_000_000, // some 200 MB
  intervalMs: 60_000,
}

/** Bytes dropped before the event loop gets a turn. */
const pieceBytes = 4 * 1024 * 1024
const pauseMs = 20
/** How far back the time may be that is written down for a worker. */
const contactMs = 60_000
/** How often to look for output that can be dropped, while the disk is full. */
const fullDiskMs = 1000

export type RetentionOptions = {maintenance: Maintenance; disk: DiskGuard; clock: Clock; log: Log; limits: Retention}

/**
 * Removes what is over the limits in short steps, the oldest first: output (also while the disk is full), ended tasks,
 * entries of the audit and repeated requests. Writes down when workers were seen. Returns the function that stops it.
 */
export function startRetention(options: RetentionOptions): () => void {
  const {maintenance, disk, limits} = options
  let timer: NodeJS.Timeout
  let excess: number | undefined
  const step = () => {
    let dropped: number | undefined
    try {
      excess ??= maintenance.storedChars() - limits.maxBytes
      dropped = dropOldest(options, excess > 0 || disk.mustDrop)
    } catch (error) {
      options.log(`dropping old output failed: ${messageOf(error)}`)
    }

    const hasMore = dropped !== undefined || prune(options)
    if (dropped !== undefined) disk.check()
    excess = dropped === undefined || excess === undefined ? undefined : excess - dropped
    const idleMs = disk.isFull ? Math.min(limits.intervalMs, fullDiskMs) : limits.intervalMs
    timer = setTimeout(step, hasMore ? pauseMs : idleMs)
  }
  timer = setTimeout(step, limits.intervalMs)
  disk.onFull = () => {
    clearTimeout(timer)
    timer = setTimeout(step, pauseMs)
  }
  return () => {
    disk.onFull = () => {}
    clearTimeout(timer)
  }
}

/** Removes some of what is old. Returns whether there may be more. */
function prune({maintenance, clock, log, limits}: RetentionOptions): boolean {
  const before = (ms: number) => isoTime(clock.now() - ms)
  try {
    maintenance.saveContacts(contactMs)
    maintenance.forgetRequests(before(requestRetentionMs))
    const hasTasks = maintenance.pruneTasks(before(limits.taskAgeMs))
    return maintenance.pruneAudit({before: before(limits.auditAgeMs), maxRows: limits.auditRows}) || hasTasks
  } catch (error) {
    log(`removing what is old failed: ${messageOf(error)}`)
    return false
  }
}

/** Drops a piece of the oldest output. Returns its size, or undefined if there is nothing to drop. */
function dropOldest({maintenance, clock, limits}: RetentionOptions, isTooMuch: boolean): number | undefined {
  const oldest = maintenance.oldestOutput()
  if (!oldest) return undefined
  const isOld = oldest.completed_at < isoTime(clock.now() - limits.maxAgeMs)
  return isOld || isTooMuch ? maintenance.dropOutput(oldest.task_id, pieceBytes) : undefined
}

/** Tells the operator of an older database that ended tasks are removed by age from now on. */
export function announceTaskRetention({maintenance, clock, log, limits}: Omit<RetentionOptions, 'disk'>): void {
  const old = maintenance.countEnded(isoTime(clock.now() - limits.taskAgeMs))
  const days = Math.round(limits.taskAgeMs / dayMs)
  log(
    `From now on tasks are removed ${counted(days, 'day')} after they have ended: ${counted(old, 'task')} now. To keep them longer, use --keep-tasks-days`,
    old > 0 ? 'warn' : 'info',
  )
}
