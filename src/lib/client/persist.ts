import type {Clock} from '../core/clock.ts'
import {fullJitter} from '../core/loop.ts'
import {isTransient, isUnauthorized, RefusedError} from './http.ts'

export type PersistOptions = {
  signal: AbortSignal
  clock: Clock
  onFailure: (failure: {error: unknown; failures: number; delay: number}) => void
}

const quick = fullJitter(200, 60_000)
const slow = fullJitter(30_000, 60_000)

/**
 * Repeats a report until the server has acknowledged it, for as long as that takes; the pause grows to 60 s, or is
 * what `Retry-After` says. A missing right (401, 403) is tried again slowly, as a person may mend it. Throws the
 * RefusedError that can never succeed, and whatever the step threw once `signal` is aborted.
 */
export async function untilAcknowledged<T>(step: () => Promise<T>, options: PersistOptions): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await step()
    } catch (error) {
      if (options.signal.aborted || (!isTransient(error) && !isUnauthorized(error))) throw error
      const asked = error instanceof RefusedError ? error.retryAfter : undefined
      const delay =
        asked === undefined ? (isUnauthorized(error) ? slow : quick)(failures) : Math.min(asked * 1000, 60_000)
      options.onFailure({error, failures, delay})
      await options.clock.sleep(delay, options.signal)
      if (options.signal.aborted) throw error
    }
  }
}
