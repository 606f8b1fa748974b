import {isoTime} from '../../core/clock.ts'
import type {Parts} from '../dispatch/parts.ts'
import * as transitions from './transitions.ts'

/** Restores the leases of running tasks after a start. Each starts again, because no worker could renew it meanwhile. */
export function restoreLeases({store, leases, roster}: Parts): void {
  for (const {id, attempt, worker_id, codebase_id, lost_since} of store.tasks.running())
    if (worker_id !== null && leases.get(id)?.attempt !== attempt)
      leases.grant({taskId: id, attempt, workerId: worker_id, tree: roster.treeOf(codebase_id)}, lost_since !== null)
}

/** Expires leases, and fails tasks whose worker has been lost for too long. */
export function expireLeases(parts: Parts): void {
  const {store, leases, commits, clock, timings} = parts
  const expired = [...leases.all()].filter((lease) => !lease.isLost && hasExpired(parts, lease))
  const lost = store.tasks.lostBefore(isoTime(clock.now() - timings.lostTimeoutMs))
  if (expired.length + lost.length === 0) return
  commits.write(() => {
    for (const {taskId} of expired) {
      const task = store.tasks.get(taskId)
      if (task?.status === 'running') transitions.expire(parts, task)
    }

    for (const id of lost) {
      const task = store.tasks.get(id)
      if (task) transitions.finish(parts, task, 'failed', {error: `worker lost since ${task.lost_since}`})
    }
  })
}

/** A worker without leases (the Python one) sends nothing while it runs a task: it may be silent for long, or have a stream. */
function hasExpired(
  {roster, leases, hub, clock, timings}: Parts,
  {workerId, until}: {workerId: string; until: number},
) {
  if (roster.profile(workerId).hasLeases) return until <= clock.monotonic()
  return leases.silentMs(workerId) >= timings.silentWorkerMs && !hub.streamOf(workerId)
}
