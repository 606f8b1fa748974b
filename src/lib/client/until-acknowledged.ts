import type {Clock} from '../core/clock.ts'
import {fullJitter} from '../core/loop.ts'
import {isTransient, isUnauthorized, retryAfterMs} from './http.ts'

export type AcknowledgeOptions = {
  signal: AbortSignal
  clock: Clock
  /** Called for each try. Aborted when the token is replaced, which ends the pause after a refused token. */
  untilRenewed: () => AbortSignal
  onFailure: (failure: {error: unknown; failures: number; delay: number}) => void
  /** Once aborted, a failure is thrown instead of repeated, because what is sent can go another way. */
  giveUp?: AbortSignal | undefined
}

const quick = fullJitter(200, 60_000)
const slow = fullJitter(30_000, 60_000)

/**
 * Repeats a step until it is acknowledged, for as long as that takes. The pause grows to 60 s, or is what `Retry-After`
 * asks for. After 401 and 403 it retries slowly, because a person may fix the token, and at once with a new token.
 * Throws a RefusedError that can never succeed, and what the step threw once `signal` or `giveUp` is aborted.
 */
export async function untilAcknowledged<T>(step: () => Promise<T>, options: AcknowledgeOptions): Promise<T> {
  const {signal, giveUp} = options
  const isOver = () => signal.aborted || giveUp?.aborted === true
  for (let failures = 1; ; failures++) {
    const renewed = options.untilRenewed()
    try {
      return await step()
    } catch (error) {
      if (isOver() || (!isTransient(error) && !isUnauthorized(error))) throw error
      const delay = retryAfterMs(error) || (isUnauthorized(error) ? slow : quick)(failures)
      options.onFailure({error, failures, delay})
      const early = [signal, ...(isUnauthorized(error) ? [renewed] : []), ...(giveUp ? [giveUp] : [])]
      await options.clock.sleep(delay, early.length > 1 ? AbortSignal.any(early) : signal)
      if (isOver()) throw error
    }
  }
}
