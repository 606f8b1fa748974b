import type {RedisClock} from './redis-clock.ts'

/** Requests wait for a Redis that was lost so shortly ago. After longer, workers may have missed renewing their leases. */
const shortAbsenceMs = 500

/**
 * When nothing expires because workers could not renew their leases: after Redis was away, after its clock was set, and
 * after no replica ran.
 */
export class Grace {
  /** The length of a lease, in ms. */
  leaseMs = 0
  readonly #clock: RedisClock
  #until = 0
  #lostAt: number | undefined

  constructor(clock: RedisClock) {
    this.#clock = clock
  }

  /** On the clock of Redis, in ms. */
  get until(): number {
    return this.#until
  }

  /** Whether Redis is away only for a moment now, so that requests wait for it. */
  get isShort(): boolean {
    return this.#lostAt !== undefined && performance.now() - this.#lostAt < shortAbsenceMs
  }

  begin(): void {
    this.#until = Math.max(this.#until, this.#clock.monotonic() + this.leaseMs)
  }

  /** Redis is away from now on. Returns whether this is news. */
  lost(): boolean {
    if (this.#lostAt !== undefined) return false
    this.#lostAt = performance.now()
    return true
  }

  /** Redis is back. Returns whether it was away. */
  back(): boolean {
    if (this.#lostAt === undefined) return false
    if (!this.isShort) this.begin()
    this.#lostAt = undefined
    return true
  }
}
