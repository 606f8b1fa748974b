import type {Clock} from '../../core/clock.ts'
import type {Config} from '../../config/settings.ts'
import {connections, troubleKinds} from '../../events/worker-event.ts'
import {readProcess} from '../../metrics/process-metrics.ts'
import type {Registry} from '../../metrics/registry.ts'
import type {WorkerFold} from '../../metrics/worker-fold.ts'
import type {WorkerMetric} from '../../metrics/worker-metrics.ts'
import type {RunningWorker} from '../../worker/running-worker.ts'

export type GaugeSources = {
  fold: WorkerFold
  /** Undefined while it starts. */
  worker: RunningWorker | undefined
  isReady: boolean
  config: Pick<Config, 'max_concurrent_tasks'>
  clock: Pick<Clock, 'monotonic'>
  version: string
}

type Target = Registry<WorkerMetric>

const phases = ['claiming', 'starting', 'running', 'reporting'] as const
const pauseCauses = ['operator', 'disk', ...troubleKinds] as const

/** Reads all that a worker knows at the moment of a scrape. */
export function readGauges(registry: Target, {fold, worker, isReady, config, clock, version}: GaugeSources): void {
  readProcess(registry, 'a2a_worker', version)
  fold.write()
  registry.set('a2a_worker_ready', isReady ? 1 : 0)
  registry.set('a2a_worker_slots', config.max_concurrent_tasks)
  registry.set('a2a_worker_questions_open', fold.openQuestions)
  for (const cause of pauseCauses) registry.set('a2a_worker_paused', fold.isPausedBy(cause) ? 1 : 0, {cause})
  const connection = worker?.intake.connection ?? 'down'
  for (const name of connections) registry.set('a2a_worker_connection', name === connection ? 1 : 0, {connection: name})
  const heartbeatAt = worker?.registration.lastHeartbeatAt ?? 0
  registry.set('a2a_worker_heartbeat_age_seconds', heartbeatAt === 0 ? -1 : (clock.monotonic() - heartbeatAt) / 1000)
  if (worker) readWorker(registry, worker, clock.monotonic())
}

function readWorker(registry: Target, {runner, uploader, disk}: RunningWorker, now: number): void {
  registry.set('a2a_worker_slots_used', runner.usedSlots)
  registry.set('a2a_worker_output_bytes_total', uploader.acknowledgedBytes)
  registry.set('a2a_worker_disk_free_bytes', disk.state.free)
  registry.set('a2a_worker_disk_low', disk.state.isLow ? 1 : 0)
  const {active} = runner
  for (const phase of phases)
    registry.set('a2a_worker_tasks_active', active.filter((task) => task.phase === phase).length, {phase})
  const reports = active.filter(({phase}) => phase === 'reporting')
  const since = Math.min(now, ...reports.map(({reportingSince = now}) => reportingSince))
  registry.set('a2a_worker_outbox_reports', reports.length)
  registry.set('a2a_worker_outbox_oldest_seconds', (now - since) / 1000)
}
