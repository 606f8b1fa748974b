import type {Usage} from '../protocol/schemas.ts'
import {tokenKinds} from './definition.ts'
import type {Registry} from './registry.ts'

type UsageMetric<Prefix extends string> = `${Prefix}_tokens_total` | `${Prefix}_cost_dollars_total`

/** Counts tokens and cost of a task that has ended. */
export function addUsage<Prefix extends string>(
  registry: Pick<Registry<UsageMetric<Prefix>>, 'add'>,
  prefix: Prefix,
  usage: Usage,
  model: string,
): void {
  for (const kind of tokenKinds) if (usage[kind] > 0) registry.add(`${prefix}_tokens_total`, usage[kind], {model, kind})
  if (usage.cost > 0) registry.add(`${prefix}_cost_dollars_total`, usage.cost, {model})
}
