import {isoTime, type Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import {counted} from '../core/text/counted.ts'
import {requestRetentionMs} from './rules/tasks/create-task.ts'
import type {DiskGuard} from './store/disk-guard.ts'
import type {Engine} from './store/engine.ts'
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

export type RetentionOptions = {
  engine: Pick<Engine, 'maintain'>
  disk: DiskGuard
  clock: Clock
  log: Log
  limits: Retention
}

/**
 * Removes what is over the limits in short steps, the oldest first: output (also while the disk is full), ended tasks,
 * entries of the audit and repeated requests. Writes down when workers were seen. Returns the function that stops it.
 */
export function startRetention(options: RetentionOptions): () => void {
  const {disk} = options
  const pause = new WakeablePause()
  void retain(options, pause)
  disk.onFull = () => pause.wake()
  return () => {
    disk.onFull = () => {}
    pause.stop()
  }
}

async function retain(options: RetentionOptions, pause: WakeablePause): Promise<void> {
  const {disk, limits} = options
  let excess: number | undefined
  let ms = limits.intervalMs
  while (await pause.for(ms)) {
    const dropped = await dropOutput(options, excess)
    const hasMore = dropped !== undefined || (await prune(options))
    if (dropped) disk.check()
    excess = dropped && dropped.excess - dropped.bytes
    const idleMs = disk.isFull ? Math.min(limits.intervalMs, fullDiskMs) : limits.intervalMs
    ms = hasMore ? pauseMs : idleMs
  }
}

/** A pause that can be cut short. */
class WakeablePause {
  #isStopped = false
  #resolve = () => {}

  /** Resolves with false once it was stopped. */
  async for(ms: number): Promise<boolean> {
    const {promise, resolve} = Promise.withResolvers<void>()
    this.#resolve = resolve
    const timer = setTimeout(resolve, this.#isStopped ? 0 : ms)
    await promise
    clearTimeout(timer)
    return !this.#isStopped
  }

  wake(): void {
    this.#resolve()
  }

  stop(): void {
    this.#isStopped = true
    this.#resolve()
  }
}

type Dropped = {bytes: number; excess: number}

/** Drops a piece of the oldest output, if it is too old, or all of it is too much. Resolves with undefined if none is. */
async function dropOutput(
  {engine, disk, clock, log, limits}: RetentionOptions,
  known: number | undefined,
): Promise<Dropped | undefined> {
  try {
    return await engine.maintain((maintenance) => {
      const excess = known ?? maintenance.storedChars() - limits.maxBytes
      const oldest = maintenance.oldestOutput()
      if (!oldest) return undefined
      const isOld = oldest.completed_at < isoTime(clock.now() - limits.maxAgeMs)
      if (!isOld && excess <= 0 && !disk.mustDrop) return undefined
      return {bytes: maintenance.dropOutput(oldest.task_id, pieceBytes), excess}
    })
  } catch (error) {
    log(`dropping old output failed: ${messageOf(error)}`)
    return undefined
  }
}

/** Removes some of what is old. Resolves with whether there may be more. */
async function prune({engine, clock, log, limits}: RetentionOptions): Promise<boolean> {
  const before = (ms: number) => isoTime(clock.now() - ms)
  try {
    return await engine.maintain((maintenance) => {
      maintenance.saveContacts(contactMs)
      maintenance.forgetRequests(before(requestRetentionMs))
      const hasTasks = maintenance.pruneTasks(before(limits.taskAgeMs))
      return maintenance.pruneAudit({before: before(limits.auditAgeMs), maxRows: limits.auditRows}) || hasTasks
    })
  } catch (error) {
    log(`removing what is old failed: ${messageOf(error)}`)
    return false
  }
}

/** Tells the operator of an older database that ended tasks are removed by age from now on. */
export async function announceTaskRetention({
  engine,
  clock,
  log,
  limits,
}: Omit<RetentionOptions, 'disk'>): Promise<void> {
  const old = await engine.maintain((maintenance) => maintenance.countEnded(isoTime(clock.now() - limits.taskAgeMs)))
  const days = Math.round(limits.taskAgeMs / dayMs)
  log(
    `From now on tasks are removed ${counted(days, 'day')} after they have ended: ${counted(old, 'task')} now. To keep them longer, use --keep-tasks-days`,
    old > 0 ? 'warn' : 'info',
  )
}
