import {type Clock, systemClock} from '../../src/lib/core/clock.ts'

/** Time that passes `factor` times as fast, for real processes that take real time. */
export const fastClock = (factor: number): Clock => ({
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * factor,
  sleep: (ms, signal) => systemClock.sleep(ms / factor, signal),
})
