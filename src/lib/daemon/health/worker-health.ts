import type {Config} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import {configError} from '../../core/errors.ts'
import {addressText, parseListenAddress} from '../../core/listen-address.ts'
import type {EventBus} from '../../events/bus.ts'
import {createRegistry} from '../../metrics/registry.ts'
import {WorkerFold} from '../../metrics/worker-fold.ts'
import {workerMetrics} from '../../metrics/worker-metrics.ts'
import type {RunningWorker} from '../../worker/running-worker.ts'
import {serveHealth} from './health-server.ts'
import {readGauges} from './worker-gauges.ts'

export type WorkerHealthOptions = {
  /** The setting `health_addr`. */
  at: string
  config: Pick<Config, 'health_addr' | 'health_token' | 'max_concurrent_tasks'>
  name: string
  version: string
  bus: EventBus
  clock: Clock
}

export type WorkerHealth = AsyncDisposable & {
  /** Where it listens, as part of a URL. */
  address: string
  /** The worker exists from now on. */
  attach: (worker: RunningWorker) => void
}

/**
 * Opens the address for health checks and metrics, before the worker registers: a probe then sees that it starts. Throws
 * as `serveHealth` does.
 */
export async function openWorkerHealth({at, ...options}: WorkerHealthOptions): Promise<WorkerHealth> {
  const {config, name, version, bus, clock} = options
  const address = parseListenAddress(at)
  if (!address) throw configError(`health_addr is no address: ${at}.`, 'Give PORT or HOST:PORT.')
  const registry = await createRegistry(workerMetrics)
  const fold = new WorkerFold(registry)
  let worker: RunningWorker | undefined
  const server = await serveHealth(address, {
    ...{clock, token: config.health_token, about: {worker: name, version}},
    notAlive: () => (worker?.lifecycle.phase === 'failed' ? 'the worker has failed' : undefined),
    notReady: () => reasonNotReady(worker),
    metrics: async () => {
      const isReady = reasonNotReady(worker) === undefined
      readGauges(registry, {fold, worker, isReady, config, clock, version})
      return {text: await registry.text(), contentType: registry.contentType}
    },
  })
  const listening = bus.on(fold.add)
  return {
    address: addressText(server.address),
    attach: (running) => (worker = running),
    async [Symbol.asyncDispose]() {
      listening[Symbol.dispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

/** Why a worker takes no tasks from the control plane now. A pause is no such reason: it ends without a restart. */
function reasonNotReady(worker: RunningWorker | undefined): string | undefined {
  const phase = worker?.lifecycle.phase ?? 'starting'
  if (phase !== 'running') return `the worker is ${phase}`
  return worker?.intake.connection === 'down' ? 'the control plane is out of reach' : undefined
}
