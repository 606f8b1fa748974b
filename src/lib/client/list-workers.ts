import {parseTime} from '../core/clock.ts'
import type {MonitorWorker} from '../protocol/schemas.ts'
import type {ControlPlaneClient} from './control-plane.ts'
import {isAbsent, RefusedError} from './http.ts'

/** As our own server counts: after three heartbeats that did not come. */
const activeMs = 45_000

/** The workers with their state; put together from what there is where the server has no monitor (the existing one). */
export async function listWorkers(client: ControlPlaneClient, now: number): Promise<MonitorWorker[]> {
  try {
    return (await client.monitorWorkers()).workers
  } catch (error) {
    if (!isAbsent(error)) throw error
  }

  const [workers, codebases, streams] = await Promise.all([client.workers(), client.codebases(), openStreams(client)])
  return workers.map(({worker_id: id, name, last_seen, hostname}) => ({
    id,
    name,
    status: now - (parseTime(last_seen) ?? 0) <= activeMs ? 'active' : 'stale',
    last_heartbeat: last_seen,
    codebases: codebases.filter(({worker_id: owner}) => owner === id).length,
    tasks_completed: null,
    hostname,
    connected: streams.has(id),
    running: streams.get(id)?.is_busy ? 1 : 0,
  }))
}

/** None where they are not shown to us: the heartbeats then say who is there. */
async function openStreams(client: ControlPlaneClient) {
  try {
    return new Map((await client.connectedWorkers()).map((worker) => [worker.worker_id, worker]))
  } catch (error) {
    if (error instanceof RefusedError) return new Map<string, {is_busy: boolean}>()
    throw error
  }
}
