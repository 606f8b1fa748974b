import type {Usage} from '../protocol/schemas.ts'
import {modelLabel} from './bounded-label.ts'
import {tokenKinds} from './definition.ts'
import type {Registry} from './registry.ts'

type UsageMetric<Prefix extends string> = `${Prefix}_tokens_total` | `${Prefix}_cost_dollars_total`
type Totals = Record<(typeof tokenKinds)[number] | 'cost', number>

/** Tokens and cost by model. Plain numbers until they are scraped: six counters per task would cost the most of all. */
export class UsageTotals {
  readonly #label = modelLabel()
  readonly #totals = new Map<string, Totals>()

  add(usage: Usage): void {
    const model = this.#label(usage.model)
    const totals = this.#totals.get(model) ?? {
      input: 0,
      output: 0,
      reasoning: 0,
      cache_read: 0,
      cache_write: 0,
      cost: 0,
    }
    this.#totals.set(model, totals)
    for (const kind of tokenKinds) totals[kind] += Math.max(0, usage[kind])
    totals.cost += Math.max(0, usage.cost)
  }

  write<Prefix extends string>(registry: Pick<Registry<UsageMetric<Prefix>>, 'set'>, prefix: Prefix): void {
    for (const [model, {cost, ...tokens}] of this.#totals) {
      registry.set(`${prefix}_cost_dollars_total`, cost, {model})
      for (const kind of tokenKinds) registry.set(`${prefix}_tokens_total`, tokens[kind], {model, kind})
    }
  }
}
