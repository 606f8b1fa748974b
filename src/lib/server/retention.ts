import {isoTime} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import type {Parts} from './dispatch/parts.ts'

/** Limits on the stored output of ended tasks, and on the audit. */
export type Retention = {
  maxAgeMs: number
  /** Of all ended tasks together. */
  maxBytes: number
  /** Entries of the audit are removed when they are older, or when there are more. */
  auditAgeMs: number
  auditRows: number
  /** How often the limits are checked. */
  intervalMs: number
}

export const defaultRetention: Retention = {
  maxAgeMs: 30 * 24 * 60 * 60_000,
  maxBytes: 2 * 1024 ** 3,
  auditAgeMs: 90 * 24 * 60 * 60_000,
  auditRows: 1_000_000, // some 200 MB
  intervalMs: 60_000,
}

/** Bytes dropped before the event loop gets a turn. */
const pieceBytes = 4 * 1024 * 1024
const pauseMs = 20
/** How often to look for output that can be dropped, while the disk is full. */
const fullDiskMs = 1000

/** Drops output over the limits, oldest tasks first, and while the disk is full; and old entries of the audit. Returns the function that stops it. */
export function startRetention(parts: Parts, retention: Retention): () => void {
  let timer: NodeJS.Timeout
  let excess: number | undefined
  const step = () => {
    let dropped: number | undefined
    try {
      excess ??= parts.store.output.storedChars() - retention.maxBytes
      dropped = dropOldest(parts, {maxAgeMs: retention.maxAgeMs, isTooMuch: excess > 0 || parts.disk.mustDrop})
    } catch (error) {
      parts.log(`dropping old output failed: ${messageOf(error)}`)
    }

    const hasMore = dropped !== undefined || pruneAudit(parts, retention)
    if (dropped !== undefined) parts.disk.check()
    excess = dropped === undefined || excess === undefined ? undefined : excess - dropped
    const idleMs = parts.disk.isFull ? Math.min(retention.intervalMs, fullDiskMs) : retention.intervalMs
    timer = setTimeout(step, hasMore ? pauseMs : idleMs)
  }
  timer = setTimeout(step, retention.intervalMs)
  parts.disk.onFull = () => {
    clearTimeout(timer)
    timer = setTimeout(step, pauseMs)
  }
  return () => {
    parts.disk.onFull = () => {}
    clearTimeout(timer)
  }
}

/** Removes some old entries of the audit. Returns whether there may be more. */
function pruneAudit({store, clock, log}: Parts, {auditAgeMs, auditRows}: Retention): boolean {
  const before = isoTime(clock.now() - auditAgeMs)
  try {
    return store.audit.prune({before, maxRows: auditRows})
  } catch (error) {
    log(`removing old entries of the audit failed: ${messageOf(error)}`)
    return false
  }
}

/** Drops a piece of the oldest output. Returns its size, or undefined if there is nothing to drop. */
function dropOldest({store, commits, clock}: Parts, {maxAgeMs, isTooMuch}: {maxAgeMs: number; isTooMuch: boolean}) {
  const oldest = store.output.oldest()
  if (!oldest) return undefined
  const isOld = oldest.completed_at < isoTime(clock.now() - maxAgeMs)
  return isOld || isTooMuch ? commits.write(() => store.output.drop(oldest.task_id, pieceBytes)) : undefined
}
