import type {Clock} from './clock.ts'

export type LoopOptions = {
  signal: AbortSignal
  clock: Clock
  /** Pause after a step that went well, ms; a function is asked each time. */
  interval: number | (() => number)
  /** Pause after the n-th failure in a row (n from 1), ms. */
  delay: (failures: number) => number
  /** A failure that ends the loop by rejecting it. Default: none does. */
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
      pause = options.delay(failures)
      options.onFailure?.({error, failures, delay: pause})
    }

    await clock.sleep(pause, signal)
  }
}

/** Full jitter: workers that lost one server must not all come back at once. */
export const fullJitter =
  (firstMs: number, mostMs: number, random: () => number = Math.random) =>
  (failures: number): number =>
    Math.round(random() * Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 30)))
