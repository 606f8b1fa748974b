/** Pseudo-random numbers, the same for the same seeds (seed, target and case). */
export class Random {
  #state: number

  constructor(...seeds: (number | string)[]) {
    this.#state = seeds.reduce((state: number, seed) => hash(state, String(seed)), 0x9e3779b9)
  }

  /** From 0 up to, not including, 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** An integer from 0 up to, not including, `below`. */
  below(below: number): number {
    return Math.floor(this.next() * below)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }
}

/** FNV-1a. */
function hash(state: number, text: string): number {
  let at = state
  for (const sign of `${text}\0`) at = Math.imul(at ^ (sign.codePointAt(0) ?? 0), 0x01000193)
  return at >>> 0
}
