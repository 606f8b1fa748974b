import {systemClock, type Clock} from '../../core/clock.ts'

/** A difference between two readings of the clock of Redis that is no drift, in ms. */
const jumpMs = 2000
/** Share of a small difference that is corrected by each reading. */
const share = 0.1

/**
 * The clock of Redis, which all replicas share: both the time of the wire, and the lease clock. It never goes back, also
 * not behind a time at which another replica has decided something. It runs on by the clock of this process between two
 * readings.
 */
export class RedisClock implements Clock {
  readonly #own: Pick<Clock, 'monotonic' | 'sleep'>
  readonly #onJump: (ms: number) => void
  /** Of the clock of Redis to the clock of this process, as last read and as it counts. */
  #seen: number | undefined
  #offset: number | undefined
  #last = 0

  /** `onJump` is called when the clock of Redis was set, by this many ms. */
  constructor(onJump: (ms: number) => void, own: Pick<Clock, 'monotonic' | 'sleep'> = systemClock) {
    this.#onJump = onJump
    this.#own = own
  }

  /** Records a reading (Unix ms) that was asked for at `sentAt` by the clock of this process, and came now. */
  read(redisMs: number, sentAt: number): void {
    const offset = redisMs - (sentAt + this.#own.monotonic()) / 2
    const difference = offset - (this.#seen ?? offset)
    const isJump = Math.abs(difference) >= jumpMs
    this.#seen = isJump ? offset : (this.#seen ?? offset) + difference * share
    // A clock that was set back would keep leases alive for as long: this process goes on as before.
    const behind = (this.#offset ?? this.#seen) - this.#seen
    if (behind < jumpMs) this.#offset = this.#seen
    if (isJump) this.#onJump(difference)
  }

  /** Another replica has decided something at this time (Unix ms). To it, this process would be in the past before. */
  reached(at: number): void {
    const ahead = at - this.monotonic()
    if (this.#offset === undefined || ahead <= 0) return
    this.#offset += ahead
    if (ahead >= jumpMs) this.#onJump(ahead)
  }

  monotonic(): number {
    // The clock of this machine may be wrong by hours. It counts for nothing once Redis was read.
    if (this.#offset === undefined) return Date.now()
    this.#last = Math.max(this.#last, this.#own.monotonic() + this.#offset)
    return this.#last
  }

  now(): number {
    return Math.round(this.monotonic())
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#own.sleep(ms, signal)
  }
}
