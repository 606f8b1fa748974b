import type {Task} from '../../protocol/schemas.ts'

type RunKey = Pick<Task, 'id' | 'attempt'>

const maxRuns = 10_000
const keyOf = ({id, attempt}: RunKey) => `${id}/${attempt}`

/** Remembers when runs ended or were dropped. Bounded: the oldest are forgotten. */
export class RecentRuns {
  /** Monotonic ms by task and attempt. */
  readonly #times = new Map<string, number>()

  add(run: RunKey, at: number): void {
    this.#times.delete(keyOf(run))
    this.#times.set(keyOf(run), at)
    const oldest = this.#times.keys().next().value
    if (this.#times.size > maxRuns && oldest !== undefined) this.#times.delete(oldest)
  }

  timeOf(run: RunKey): number | undefined {
    return this.#times.get(keyOf(run))
  }
}
