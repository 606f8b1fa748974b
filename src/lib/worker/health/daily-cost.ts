import {join} from 'node:path'
import {readStateJson, writePrivateFile} from '../../config/state-directory.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'

export type DailyCostOptions = {
  workerDir: string
  clock: Clock
  /** In US dollars; 0 means no limit. Read each time. */
  limit: () => number
  onProblem: (text: string) => void
}

/** Why no task may begin, and for how long. */
export type SpentToday = {reason: string; retryMs: number}

const dayMs = 24 * 60 * 60_000
const file = 'costs.json'

/** What the tasks of a worker have cost today (UTC), also across its restarts. */
export class DailyCost {
  readonly #options: DailyCostOptions
  #day = ''
  #cost = 0

  constructor(options: DailyCostOptions) {
    this.#options = options
    const saved = readSaved(join(options.workerDir, file))
    if (saved) [this.#day, this.#cost] = [saved.day, saved.cost]
  }

  /** What is left for today, in US dollars. Undefined: no limit. */
  left(): number | undefined {
    const limit = this.#options.limit()
    return limit === 0 ? undefined : Math.max(0, limit - this.#today())
  }

  /** Why no task may begin now. */
  obstacle(): SpentToday | undefined {
    if (this.left() !== 0) return undefined
    const reason = `the tasks of today have cost $${this.#today().toFixed(2)} (max_cost_per_day)`
    return {reason, retryMs: dayMs - (this.#options.clock.now() % dayMs)}
  }

  /** Adds the cost of a run that has ended. */
  add(cost: number): void {
    if (cost === 0) return
    this.#cost = this.#today() + cost
    try {
      writePrivateFile(join(this.#options.workerDir, file), JSON.stringify({day: this.#day, cost: this.#cost}))
    } catch (error) {
      this.#options.onProblem(`The cost of today is not stored, so a restart would forget it: ${messageOf(error)}`)
    }
  }

  #today(): number {
    const day = new Date(this.#options.clock.now()).toISOString().slice(0, 10)
    if (day !== this.#day) [this.#day, this.#cost] = [day, 0]
    return this.#cost
  }
}

function readSaved(path: string): {day: string; cost: number} | undefined {
  const value = readStateJson(path)
  if (typeof value !== 'object' || value === null) return undefined
  const {day, cost} = value as {day?: unknown; cost?: unknown}
  return typeof day === 'string' && typeof cost === 'number' && cost >= 0 ? {day, cost} : undefined
}
