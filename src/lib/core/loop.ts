import type {Clock} from './clock.ts'

export type LoopOptions = {
  signal: AbortSignal
  clock: Clock
  /** Pause after a successful step, in ms. A function is called each time. */
  interval: number | (() => number)
  /** Pause after the n-th consecutive failure (n from 1), in ms. */
  delay: (failures: number, error: unknown) => number
  /** Whether a failure ends the loop, which then rejects with it. Default: no failure does. */
  isFatal?: (error: unknown) => boolean
  onFailure?: (failure: {error: unknown; failures: number; delay: number}) => void
}

/** Repeats `step` until aborted. A failure backs off and is reported; only a fatal one ends the loop. */
export async function loop(step: (signal: AbortSignal) => Promise<void>, options: LoopOptions): Promise<void> {
  const {signal, clock} = options
  let failures = 0
  while (!signal.aborted) {
    let pause: number
    try {
      await step(signal)
      failures = 0
      pause = typeof options.interval === 'function' ? options.interval() : options.interval
    } catch (error) {
      if (signal.aborted) return
      if (options.isFatal?.(error)) throw error
      failures += 1
      pause = options.delay(failures, error)
      options.onFailure?.({error, failures, delay: pause})
    }

    await clock.sleep(pause, signal)
  }
}

/** Exponential backoff with full jitter, so that workers that lost a server do not all return at once. */
export const fullJitter =
  (firstMs: number, maxMs: number, random: () => number = Math.random) =>
  (failures: number): number =>
    Math.round(random() * Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30)))
