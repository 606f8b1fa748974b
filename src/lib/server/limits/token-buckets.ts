import type {Clock} from '../../core/clock.ts'
import {RecentMap} from './recent-map.ts'

export type BucketOptions = {
  /** Tokens that a bucket gets per second. */
  perSecond: number
  /** Tokens that a bucket holds when it is full. */
  burst: number
  clock: Pick<Clock, 'monotonic'>
}

/** A forgotten bucket is a full one. */
const maxKeys = 10_000

/** A token bucket for each key, in bounded memory. */
export class TokenBuckets {
  readonly #options: BucketOptions
  readonly #buckets = new RecentMap<{tokens: number; at: number}>(maxKeys)

  constructor(options: BucketOptions) {
    this.#options = options
  }

  /** Takes a token. Returns 0, or the milliseconds until the next one if the bucket is empty. */
  take(key: string): number {
    const {perSecond, burst, clock} = this.#options
    const now = clock.monotonic()
    const bucket = this.#buckets.get(key) ?? {tokens: burst, at: now}
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * perSecond)
    bucket.at = now
    this.#buckets.set(key, bucket)
    if (bucket.tokens < 1) return ((1 - bucket.tokens) / perSecond) * 1000
    bucket.tokens -= 1
    return 0
  }

  get size(): number {
    return this.#buckets.size
  }
}
