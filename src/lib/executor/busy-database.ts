import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import type {RunObserver, RunOutcome, StopReason} from './executor.ts'
import type {Supervised} from './supervise-agent.ts'

/**
 * All OpenCode processes share one database, and its lock timeout is short under load. If two processes start in a new
 * home at once, one fails while the other creates the tables (`Failed query: CREATE TABLE …`).
 */
const busyDatabase = /database is locked|Failed to execute statement|Failed query/i
/** Pauses before each further start. */
const retriesMs = [1000, 3000, 10_000]

export type BusyDatabaseOptions = {
  clock: Clock
  observer: Pick<RunObserver, 'onWarning'>
  /** The reason of the signal is a StopReason. */
  stop: AbortSignal
  /** Starts the agent again, and supervises it to its end. */
  again: () => Promise<Supervised>
}

/** Starts an agent again whose database was busy, so that it did nothing yet. Resolves with the outcome of the last start. */
export async function retryBusyDatabase(
  first: Promise<Supervised>,
  {clock, observer, stop, again}: BusyDatabaseOptions,
): Promise<RunOutcome> {
  let ended = await first
  for (const pause of retriesMs) {
    if (!wasBusy(ended) || stop.aborted) break
    observer.onWarning('the database of OpenCode was busy; trying once more')
    await clock.sleep(pause, stop)
    if (stop.aborted) return {...ended.outcome, ...endOf(stop.reason as StopReason)}
    try {
      ended = await again()
    } catch (error) {
      return {...ended.outcome, error: messageOf(error)}
    }
  }

  return ended.outcome
}

const wasBusy = ({outcome, hasWorked, stderr}: Supervised) =>
  outcome.status === 'failed' && !hasWorked && busyDatabase.test(`${stderr}\n${outcome.error ?? ''}`)

const endOf = ({status, error}: StopReason) => ({status, error})
