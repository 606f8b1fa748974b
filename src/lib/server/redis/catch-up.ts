import type {DecisionLog, Head, LogEntry} from './decision-log.ts'
import {DivergedError, type Replica} from './replica.ts'

export type CatchUpOptions = {
  replica: Replica
  log: DecisionLog
  /** Applies an entry of another replica. */
  apply: (entry: LogEntry) => void
  /** Redis has lost all: writes the state of this replica. */
  reseed: () => Promise<void>
  /** Tells that Redis had lost this many entries, and got them back. */
  onHealed: (entries: number) => void
}

/**
 * Applies what other replicas have appended, up to this head and perhaps further. If Redis has less than this replica, it
 * gets the rest. Resolves with whether one of `sent` is among what was applied. Throws DivergedError.
 */
export async function catchUp(to: Head, sent: ReadonlySet<string>, options: CatchUpOptions): Promise<boolean> {
  const {replica, log, apply} = options
  if (replica.head.position > to.position) {
    await heal(to, options)
    return false
  }

  if (replica.head.position === to.position)
    throw new DivergedError(`entry ${to.position} in Redis is not the one that this replica has applied`)
  let isOurs = false
  while (replica.head.position < to.position) {
    const {position} = replica.head
    const entries = await log.read(position)
    if (entries[0]?.position !== position + 1)
      throw new DivergedError(`the log in Redis does not go on from entry ${position}`)
    for (const entry of entries) {
      isOurs ||= sent.has(entry.id)
      apply(entry)
    }
  }

  return isOurs
}

/** Redis has lost its last entries, or all: it gets them back from this replica. */
async function heal(to: Head, {replica, log, reseed, onHealed}: CatchUpOptions): Promise<void> {
  const {head, recent} = replica
  if (to.position === 0) await reseed()
  else {
    const entries = recent.from(to)
    if (!entries)
      throw new DivergedError(`Redis has lost entries: it is at ${to.position}, this replica at ${head.position}`)
    for (const [i, entry] of entries.entries()) {
      const expected = entries[i - 1]
      if (expected && !('committed' in (await log.append(expected, entry)))) return // another replica heals too
    }
  }

  onHealed(head.position - to.position)
}
