import {isoTime} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import type {Parts} from './dispatch/parts.ts'

/** How long, and how much of, the output of tasks that have ended is kept. */
export type Retention = {
  keepMs: number
  /** Of all these tasks together. */
  maxBytes: number
  /** How often it is looked at. */
  everyMs: number
}

export const defaultRetention: Retention = {
  keepMs: 30 * 24 * 60 * 60_000,
  maxBytes: 2 * 1024 ** 3,
  everyMs: 60_000,
}

/** Dropped at a time; then others have their turn. */
const pieceBytes = 4 * 1024 * 1024
const pauseMs = 20

/** Drops output that is too old or too much, the tasks that ended first before others, until it is told to stop. */
export function keepTidy(parts: Parts, retention: Retention): () => void {
  let timer: NodeJS.Timeout
  let excess: number | undefined
  const step = () => {
    let dropped: number | undefined
    try {
      excess ??= parts.store.output.kept() - retention.maxBytes
      dropped = dropOldest(parts, {keepMs: retention.keepMs, isOver: excess > 0})
    } catch (error) {
      parts.log(`dropping old output failed: ${messageOf(error)}`)
    }

    excess = dropped === undefined || excess === undefined ? undefined : excess - dropped
    timer = setTimeout(step, dropped === undefined ? retention.everyMs : pauseMs)
  }
  timer = setTimeout(step, retention.everyMs)
  return () => clearTimeout(timer)
}

/** How much was dropped; undefined when there is nothing to drop. */
function dropOldest({store, commits, clock}: Parts, {keepMs, isOver}: {keepMs: number; isOver: boolean}) {
  const oldest = store.output.oldest()
  if (!oldest) return undefined
  const isOld = oldest.completed_at < isoTime(clock.now() - keepMs)
  return isOld || isOver ? commits.write(() => store.output.drop(oldest.task_id, pieceBytes)) : undefined
}
