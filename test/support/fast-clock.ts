import {type Clock, systemClock} from '../../src/lib/core/clock.ts'

/** Node waits no longer at once, ms. */
const longest = 2 ** 31 - 1

/** Time that passes `factor` times as fast, or as slow below 1, for real processes that take real time. */
export const fastClock = (factor: number): Clock => ({
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * factor,
  sleep: (ms, signal) => systemClock.sleep(Math.min(longest, ms / factor), signal),
})
