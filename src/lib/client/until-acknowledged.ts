import type {Clock} from '../core/clock.ts'
import {fullJitter} from '../core/loop.ts'
import {isTransient, isUnauthorized, RefusedError} from './http.ts'

export type PersistOptions = {
  signal: AbortSignal
  clock: Clock
  /** Aborted once the token is another one, which ends the pause after one that was refused. Asked for each try. */
  untilRenewed: () => AbortSignal
  onFailure: (failure: {error: unknown; failures: number; delay: number}) => void
}

const quick = fullJitter(200, 60_000)
const slow = fullJitter(30_000, 60_000)

/**
 * Repeats a report until the server has acknowledged it, for as long as that takes; the pause grows to 60 s, or is
 * what `Retry-After` says. A missing right (401, 403) is tried again slowly, as a person may mend it, and at once with
 * another token. Throws the RefusedError that can never succeed, and whatever the step threw once `signal` is aborted.
 */
export async function untilAcknowledged<T>(step: () => Promise<T>, options: PersistOptions): Promise<T> {
  for (let failures = 1; ; failures++) {
    const renewed = options.untilRenewed()
    try {
      return await step()
    } catch (error) {
      if (options.signal.aborted || (!isTransient(error) && !isUnauthorized(error))) throw error
      const asked = error instanceof RefusedError ? error.retryAfter : undefined
      const delay =
        asked === undefined ? (isUnauthorized(error) ? slow : quick)(failures) : Math.min(asked * 1000, 60_000)
      options.onFailure({error, failures, delay})
      const early = isUnauthorized(error) ? AbortSignal.any([options.signal, renewed]) : options.signal
      await options.clock.sleep(delay, early)
      if (options.signal.aborted) throw error
    }
  }
}
