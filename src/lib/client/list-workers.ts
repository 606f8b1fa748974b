import type {MonitorWorker} from '../protocol/schemas.ts'
import type {ControlPlaneClient} from './control-plane.ts'
import {isAbsent} from './http.ts'

/** The workers with their state; put together from what there is where the server has no monitor (the existing one). */
export async function listWorkers(client: ControlPlaneClient, signal?: AbortSignal): Promise<MonitorWorker[]> {
  try {
    return (await client.monitorWorkers(signal)).workers
  } catch (error) {
    if (!isAbsent(error)) throw error
  }

  const [workers, codebases] = await Promise.all([client.workers(signal), client.codebases(signal)])
  return workers.map(({worker_id: id, name, last_seen, hostname, connected, running}) => ({
    id,
    name,
    status: 'unknown',
    last_heartbeat: last_seen,
    codebases: codebases.filter(({worker_id: owner}) => owner === id).length,
    tasks_completed: null,
    hostname,
    connected,
    running,
  }))
}
