import type {MetricDefinition} from './definition.ts'
import type {Registry} from './registry.ts'

type Suffix =
  | 'build_info'
  | 'process_start_time_seconds'
  | 'process_cpu_seconds_total'
  | 'process_resident_memory_bytes'
  | 'process_event_loop_busy_seconds_total'

type ProcessMetric<Prefix extends string> = `${Prefix}_${Suffix}`

const definitions: Record<Suffix, MetricDefinition> = {
  build_info: {
    type: 'gauge',
    help: 'Always 1. The labels tell the versions.',
    labels: {version: 'of a2a-worker', node: 'of Node'},
  },
  process_start_time_seconds: {type: 'gauge', help: 'When the process started, in Unix time.'},
  process_cpu_seconds_total: {type: 'counter', help: 'CPU time of the process.'},
  process_resident_memory_bytes: {type: 'gauge', help: 'Memory of the process (RSS).'},
  process_event_loop_busy_seconds_total: {
    type: 'counter',
    help: 'How long the event loop was busy. At 1 second per second the process can do no more.',
  },
}

/** The metrics of a process, with the prefix of its role. */
export const processMetrics = <Prefix extends string>(prefix: Prefix) =>
  Object.fromEntries(
    Object.entries(definitions).map(([suffix, definition]) => [`${prefix}_${suffix}`, definition]),
  ) as Record<ProcessMetric<Prefix>, MetricDefinition>

/** Reads the metrics of this process. That costs no timer, unlike the default metrics of prom-client. */
export function readProcess<Prefix extends string>(
  registry: Pick<Registry<ProcessMetric<Prefix>>, 'set'>,
  prefix: Prefix,
  version: string,
): void {
  const {user, system} = process.cpuUsage()
  registry.set(`${prefix}_build_info`, 1, {version, node: process.versions.node})
  registry.set(`${prefix}_process_start_time_seconds`, performance.timeOrigin / 1000)
  registry.set(`${prefix}_process_cpu_seconds_total`, (user + system) / 1e6)
  registry.set(`${prefix}_process_resident_memory_bytes`, process.memoryUsage.rss())
  registry.set(`${prefix}_process_event_loop_busy_seconds_total`, performance.eventLoopUtilization().active / 1000)
}
