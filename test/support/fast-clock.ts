import {type Clock, systemClock} from '../../src/lib/core/clock.ts'

/** The longest timeout of Node, ms. */
const maxTimeoutMs = 2 ** 31 - 1

/** A clock that is `factor` times as fast (slow below 1), for real processes that take real time. */
export const fastClock = (factor: number): Clock => ({
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * factor,
  sleep: (ms, signal) => systemClock.sleep(Math.min(maxTimeoutMs, ms / factor), signal),
})
