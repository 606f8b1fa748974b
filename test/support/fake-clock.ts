import type {Clock} from '../../src/lib/core/clock.ts'

/** Time that passes when it is slept through, at once; `onSleep` is called as it does. */
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
