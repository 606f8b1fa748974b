/**
 * One metric. The lists of all metrics are in `worker-metrics.ts` and `plane-metrics.ts`; types, registry and
 * docs/metrics.md are derived from them.
 */
export type MetricDefinition = {
  type: 'counter' | 'gauge' | 'histogram'
  help: string
  /** Labels and their possible values, for people. */
  labels?: Readonly<Record<string, string>>
  /** Upper bounds of a histogram. */
  buckets?: readonly number[]
  /**
   * Of several control planes that share their state: `whole` has the same value at each of them, so take the max. Of
   * `replica` each has its own part, so take the sum. The rest cannot be added up.
   */
  of?: keyof typeof replicaText
}

const replicaText = {
  whole: 'Of the whole, and the same at each replica: take the max.',
  replica: 'Of this replica: take the sum.',
} as const

/** The help text as it is scraped. */
export const helpOf = ({help, of}: MetricDefinition): string => (of ? `${help} ${replicaText[of]}` : help)

export type Definitions = Readonly<Record<string, MetricDefinition>>

/** Seconds from a few milliseconds to an hour, for waits. */
export const waitBuckets = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 1800, 3600] as const
/** Seconds from a second to half a day, for runs of agents. */
export const runBuckets = [1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 43_200] as const
/** Seconds from 0.1 ms to ten seconds, for commits. */
export const commitBuckets = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 10] as const

export const modelText = 'PROVIDER/NAME; from the 31st model on `other`, without a model `default`'
export const tokenKinds = ['input', 'output', 'reasoning', 'cache_read', 'cache_write'] as const
