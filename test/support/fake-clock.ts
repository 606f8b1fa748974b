import type {Clock} from '../../src/lib/core/clock.ts'

/** A clock whose sleeps return at once and advance its time. `onSleep` is called at each sleep. */
export function fakeClock(onSleep: (now: number) => void = () => {}): Clock & {advance: (ms: number) => void} {
  let now = 0
  const advance = (ms: number) => {
    now += ms
    onSleep(now)
  }
  return {
    now: () => now,
    monotonic: () => now,
    sleep: async (ms, signal) => {
      if (!signal?.aborted) advance(ms)
    },
    advance,
  }
}
