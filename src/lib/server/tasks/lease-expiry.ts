import {isoTime} from '../../core/clock.ts'
import type {Lease} from '../dispatch/leases.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'
import * as transitions from './transitions.ts'

/** Restores the leases of running tasks after a start. Each starts again, because no worker could renew it meanwhile. */
export function restoreLeases(parts: Parts): void {
  const {store, leases, roster} = parts
  for (const task of store.tasks.running()) {
    const {id, attempt, worker_id, codebase_id, lost_since} = task
    if (worker_id === null || leases.get(id)?.attempt === attempt) continue
    const run = {taskId: id, attempt, workerId: worker_id, tree: roster.treeOf(codebase_id)}
    leases.doubt([leases.grant(run, lost_since !== null)])
    if (task.cancel_requested_at !== null && !transitions.mayStop(parts, task))
      transitions.limitCancellation(parts, task)
  }
}

/** Expires leases, and fails tasks whose worker has been lost for too long. */
export function expireLeases(parts: Parts): void {
  const {store, leases, commits, clock, timings} = parts
  const due = [...leases.all()].flatMap((lease) => {
    const end = endOf(parts, lease)
    return end ? [{taskId: lease.taskId, end}] : []
  })
  const lost = store.tasks.lostBefore(isoTime(clock.now() - timings.lostTimeoutMs))
  if (due.length + lost.length === 0) return
  commits.write(() => {
    for (const {taskId, end} of due) {
      const task = store.tasks.get(taskId)
      if (task?.status === 'running') end(parts, task)
    }

    for (const id of lost) {
      const task = store.tasks.get(id)
      if (task) transitions.finish(parts, task, 'failed', {error: `worker lost since ${task.lost_since}`})
    }
  })
}

type End = (parts: Parts, task: StoredTask) => void

const cancelUnconfirmed: End = (parts, task) =>
  transitions.finish(parts, task, 'cancelled', {
    error: `its worker, ${parts.roster.profile(task.worker_id ?? '').name}, cannot be stopped: its agent may still run`,
  })

/** How a lease ends now, if it does. */
function endOf(parts: Parts, lease: Lease): End | undefined {
  const {roster, clock} = parts
  if (lease.cancelledAt !== undefined && lease.cancelledAt <= clock.monotonic()) return cancelUnconfirmed
  if (lease.isLost) return undefined
  if (!roster.profile(lease.workerId).hasLeases) return endWithoutLeases(parts, lease)
  return lease.until <= clock.monotonic() ? transitions.expire : undefined
}

/**
 * A worker without leases (the Python one) reports the end of a run once. It sends nothing while it runs a task with a
 * long tool call: its silence about a task means something only if it may have missed reporting.
 */
function endWithoutLeases(parts: Parts, {workerId, doubtfulSince}: Lease): End | undefined {
  const {leases, hub, clock, timings} = parts
  const isPresent = hub.streamOf(workerId) !== undefined || leases.silentMs(workerId) < timings.silentWorkerMs
  if (!isPresent) return transitions.expire
  const isOver = doubtfulSince !== undefined && clock.monotonic() - doubtfulSince >= timings.silentWorkerMs
  return isOver ? transitions.requeue : undefined
}
