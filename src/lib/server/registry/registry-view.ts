import {parseTime} from '../../core/clock.ts'
import {limits} from '../../protocol/limits.ts'
import type {Codebase, MonitorWorker, Worker} from '../../protocol/schemas.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredCodebase, StoredWorker} from '../store/store.ts'

/** A worker as the wire shows it. */
export function wireWorker({hub, leases, ...parts}: Parts, worker: StoredWorker): Worker {
  const {unregistered_at: _u, forgotten_at: _f, tasks_completed: _t, machine_id: _m, token: _k, ...shown} = worker
  return {
    ...shown,
    status: statusOf({hub, leases, ...parts}, worker),
    connected: hub.streamOf(worker.worker_id) !== undefined,
    running: leases.heldBy(worker.worker_id).size,
  }
}

/** A codebase as the wire shows it, including whether a worker serves it. */
export function wireCodebase(
  {store, roster, leases}: Parts,
  codebase: StoredCodebase,
  owner = store.registry.worker(codebase.worker_id),
): Codebase {
  const {tree: _tree, ...shown} = codebase
  const tree = roster.treeOf(codebase.id)
  return {
    ...shown,
    status: tree !== undefined && leases.onTree(tree).size > 0 ? 'running' : 'idle',
    opencode_port: null,
    session_id: null,
    watch_mode: false,
    watch_interval: 5,
    served: roster.streamsFor(codebase.id).length > 0,
    hostname: owner?.hostname ?? null,
  }
}

export function monitorWorker(parts: Parts, worker: StoredWorker): MonitorWorker {
  const {store, hub, leases} = parts
  return {
    id: worker.worker_id,
    name: worker.name,
    status: statusOf(parts, worker),
    last_heartbeat: worker.last_seen,
    codebases: store.registry.codebasesOf(worker.worker_id).length,
    tasks_completed: worker.tasks_completed,
    hostname: worker.hostname,
    connected: hub.streamOf(worker.worker_id) !== undefined,
    running: leases.heldBy(worker.worker_id).size,
    paused: leases.pauseReasonOf(worker.worker_id),
  }
}

function statusOf(parts: Parts, worker: StoredWorker): 'active' | 'stale' | 'offline' {
  if (worker.unregistered_at !== null) return 'offline'
  return isActive(parts, worker) ? 'active' : 'stale'
}

/** Whether the worker made a request within the last three heartbeat intervals. */
export const isActive = ({clock}: Pick<Parts, 'clock'>, worker: StoredWorker): boolean =>
  worker.unregistered_at === null && clock.now() - (parseTime(worker.last_seen) ?? 0) <= 3 * limits.heartbeat
