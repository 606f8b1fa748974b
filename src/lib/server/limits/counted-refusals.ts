import type {Clock} from '../../core/clock.ts'

/** A refused request. `rule` and `who` together are counted; the rest is that of the first one. */
export type Refusal = {
  /** What was refused: the status and the operation. There are as many as operations. */
  rule: string
  who: string | null
  worker_id?: string | null
  detail: string
}

export type CountedRefusal = Refusal & {count: number}

/** Refusals within this time are one entry. */
const refusalWindowMs = 60_000

/** Counts refusals by token and rule. The first one is reported at once, the others of its minute together. */
export class CountedRefusals {
  readonly #clock: Clock
  readonly #windows = new Map<string, {end: number; refusal: CountedRefusal}>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isEmpty(): boolean {
    return this.#windows.size === 0
  }

  /** Counts a refusal. Returns it if it is the first one within a minute. */
  add(refusal: Refusal): CountedRefusal | undefined {
    const key = JSON.stringify([refusal.who, refusal.rule])
    const now = this.#clock.monotonic()
    const known = this.#windows.get(key)
    if (known && (known.end > now || known.refusal.count > 0)) {
      if (known.refusal.count === 0) Object.assign(known.refusal, refusal)
      known.refusal.count += 1
      return undefined
    }

    this.#windows.set(key, {end: now + refusalWindowMs, refusal: {...refusal, count: 0}})
    return {...refusal, count: 1}
  }

  /** The counts of all minutes that are over. A flood that goes on is counted for another minute. */
  due(all: boolean): CountedRefusal[] {
    const now = this.#clock.monotonic()
    const due: CountedRefusal[] = []
    for (const [key, window] of this.#windows) {
      if (window.end > now && !all) continue
      if (window.refusal.count === 0) {
        this.#windows.delete(key)
        continue
      }

      due.push({...window.refusal})
      window.refusal.count = 0
      window.end = now + refusalWindowMs
    }

    return due
  }
}
