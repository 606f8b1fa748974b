/** One of the runs that may be active at once. Both calls are idempotent. */
export type Slot = {acquire: () => void; release: () => void}

/** Counts the slots in use. */
export class Slots {
  readonly #max: () => number
  #used = 0

  /** `max` may change while the worker runs. */
  constructor(max: () => number) {
    this.#max = max
  }

  get used(): number {
    return this.#used
  }

  /** Never negative: after a restart more runs may be adopted than there are slots. */
  get free(): number {
    return Math.max(0, this.#max() - this.#used)
  }

  /** Returns a slot that is not acquired yet. */
  create(): Slot {
    let isAcquired = false
    return {
      acquire: () => {
        if (!isAcquired) this.#used += 1
        isAcquired = true
      },
      release: () => {
        if (isAcquired) this.#used -= 1
        isAcquired = false
      },
    }
  }
}
