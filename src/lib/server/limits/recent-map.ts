/**
 * A map in bounded memory: it forgets what was not used for longest. Two generations take no search for the oldest entry,
 * so that a flood of new keys costs no time either.
 */
export class RecentMap<T> {
  readonly #half: number
  #young = new Map<string, T>()
  #old = new Map<string, T>()

  constructor(maxKeys: number) {
    this.#half = Math.ceil(maxKeys / 2)
  }

  get(key: string): T | undefined {
    return this.#young.get(key) ?? this.#old.get(key)
  }

  set(key: string, value: T): void {
    if (this.#young.size >= this.#half && !this.#young.has(key)) {
      this.#old = this.#young
      this.#young = new Map()
    }

    this.#young.set(key, value)
  }

  /** An upper bound on its entries. */
  get size(): number {
    return this.#young.size + this.#old.size
  }
}
