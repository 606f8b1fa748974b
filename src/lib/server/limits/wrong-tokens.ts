import type {Clock} from '../../core/clock.ts'
import {RecentMap} from './recent-map.ts'

/** So many wrong tokens cost nothing: somebody is about to correct a typing error. */
const free = 10
const forgetMs = 10 * 60_000
const maxWaitSeconds = 60
const maxAddresses = 10_000

/**
 * Counts wrong tokens by address, in bounded memory. It slows down only who shows a wrong token: the right token of
 * another client at the same address is accepted meanwhile.
 */
export class WrongTokens {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #byAddress = new RecentMap<{count: number; at: number}>(maxAddresses)

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** Records a wrong token. Returns the seconds to wait before the next one: 0 at first, then doubled up to a minute. */
  record(address: string): number {
    const now = this.#clock.monotonic()
    const known = this.#byAddress.get(address)
    const count = known && now - known.at < forgetMs ? known.count + 1 : 1
    this.#byAddress.set(address, {count, at: now})
    return count <= free ? 0 : Math.min(maxWaitSeconds, 2 ** Math.min(count - free - 1, 10))
  }

  get size(): number {
    return this.#byAddress.size
  }
}
