import {parseTime} from '../core/clock.ts'
import type {MonitorWorker} from '../protocol/schemas.ts'
import type {ControlPlaneClient} from './control-plane.ts'
import {isNotFound, RefusedError} from './http.ts'

/** Three missed heartbeats, as our control plane counts. */
const activeMs = 45_000

/** Lists workers with their state. On a server without the monitor route (the existing one) it combines other lists. */
export async function listWorkers(client: ControlPlaneClient, now: number): Promise<MonitorWorker[]> {
  try {
    return await client.monitorWorkers()
  } catch (error) {
    if (!isNotFound(error)) throw error
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
    paused: null,
  }))
}

/** Open task streams by worker. Empty if we may not read them. */
async function openStreams(client: ControlPlaneClient) {
  try {
    return new Map((await client.connectedWorkers()).map((worker) => [worker.worker_id, worker]))
  } catch (error) {
    if (error instanceof RefusedError) return new Map<string, {is_busy: boolean}>()
    throw error
  }
}
