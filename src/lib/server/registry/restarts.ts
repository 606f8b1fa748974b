import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask, StoredWorker} from '../store/store.ts'
import * as transitions from '../tasks/transitions.ts'
import {hasLeases, mayInherit} from './inheritance.ts'

/**
 * The process of a worker without leases has just started: what it held before has ended without a report, and so has
 * what it held under an earlier id. Only a process that has just started asks for API keys, or registers the codebase
 * `global` although it is registered; everything else it repeats each minute. A worker with leases tells by its heartbeats what it runs.
 */
export function recordStart(parts: Parts, workerId: string): void {
  const {store, hub} = parts
  const worker = store.registry.worker(workerId)
  if (!worker || hasLeases(worker)) return
  hub.streamOf(workerId)?.close() // it belongs to the earlier process
  requeueAll(parts, worker)
  for (const former of store.registry.relatedWorkers(worker))
    if (mayInherit(worker, former) && hasEnded(parts, former)) requeueAll(parts, former)
}

/** A worker without leases has ended when its stream has. */
const hasEnded = ({hub}: Parts, worker: StoredWorker) => !hasLeases(worker) && !hub.streamOf(worker.worker_id)

function requeueAll(parts: Parts, {worker_id}: StoredWorker): void {
  requeueWhere(parts, worker_id, () => true)
}

/** Requeues the running tasks of a worker that no process of it runs any more. */
export function requeueWhere(parts: Parts, workerId: string, isConcerned: (task: StoredTask) => boolean): void {
  for (const task of parts.store.tasks.runningOf(workerId)) if (isConcerned(task)) transitions.requeue(parts, task)
}
