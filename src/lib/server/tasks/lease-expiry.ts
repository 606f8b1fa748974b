import {isoTime} from '../../core/clock.ts'
import {notFound} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import * as moves from './transitions.ts'

export type HeartbeatInput = {running: {id: string; attempt: number}[] | null; free: number | null}

/** Any request that names the worker: it is alive. */
export function seen({store, leases, clock}: Parts, workerId: string): void {
  // any name can be sent; only those that are known are worth remembering
  if (store.registry.seen(workerId, isoTime(clock.now()))) leases.sign(workerId)
}

/** A heartbeat renews what it lists; what should be on the list and is not goes back to the queue. */
export function takeHeartbeat(parts: Parts, workerId: string, {running, free}: HeartbeatInput): void {
  const {store, leases, commits, dispatch} = parts
  const worker = store.registry.worker(workerId)
  if (!worker || worker.unregistered_at !== null) throw notFound('Worker not found - please re-register')
  seen(parts, workerId)
  if (running !== null) reconcile(parts, workerId, running)
  leases.setCapacity(workerId, free === null ? undefined : free + (running?.length ?? 0))
  commits.afterCommit(() => dispatch.fill(workerId))
}

function reconcile(parts: Parts, workerId: string, running: NonNullable<HeartbeatInput['running']>): void {
  const {store, leases, commits} = parts
  const listed = new Map(running.map(({id, attempt}) => [id, attempt]))
  const isListed = (id: string, attempt: number) => [0, attempt].includes(listed.get(id) ?? -1)
  const mustBeListed = leases.sync(workerId)
  for (const held of leases.heldBy(workerId)) {
    if (!isListed(held.taskId, held.attempt)) continue
    leases.renew(held)
    const task = store.tasks.get(held.taskId)
    if (task?.lost_since) moves.renew(parts, task)
  }

  for (const {taskId, attempt} of mustBeListed) {
    const task = isListed(taskId, attempt) ? undefined : store.tasks.get(taskId)
    if (task?.status === 'running') moves.requeue(parts, task)
  }

  // what it runs although it is another's by now; a task that is not claimed yet may be on the list too
  for (const [id, attempt] of listed) {
    if (leases.get(id)?.workerId === workerId) continue
    const task = store.tasks.get(id)
    if (task && attempt > 0 && task.attempt > attempt)
      commits.afterCommit(() => moves.tellCancelled(parts, workerId, {...task, attempt}, 'another attempt has begun'))
  }
}

/** Takes up the running tasks after a start: each lease begins afresh, since nobody could renew it meanwhile. */
export function takeUpLeases({store, leases, roster}: Parts): void {
  for (const {id, attempt, worker_id, codebase_id, lost_since} of store.tasks.running())
    if (worker_id !== null && leases.get(id)?.attempt !== attempt)
      leases.hold({taskId: id, attempt, workerId: worker_id, tree: roster.treeOf(codebase_id)}, lost_since !== null)
}

/** Ends what has run out: leases, and the patience with lost workers. */
export function endLapsed(parts: Parts): void {
  const {store, leases, commits, clock, timings} = parts
  const lapsed = [...leases.all()].filter((held) => !held.isLost && isLapsed(parts, held))
  const lost = store.tasks.lostBefore(isoTime(clock.now() - timings.lostTimeoutMs))
  if (lapsed.length + lost.length === 0) return
  commits.write(() => {
    for (const {taskId} of lapsed) {
      const task = store.tasks.get(taskId)
      if (task?.status === 'running') moves.lapse(parts, task)
    }

    for (const id of lost) {
      const task = store.tasks.get(id)
      if (task) moves.finish(parts, task, 'failed', {error: `worker lost since ${task.lost_since}`})
    }
  })
}

/** A worker without leases (the Python one sends nothing while it polls) is given long, and an open stream is a sign. */
function isLapsed({roster, leases, hub, clock, timings}: Parts, {workerId, until}: {workerId: string; until: number}) {
  if (roster.profile(workerId).hasLeases) return until <= clock.monotonic()
  return leases.silence(workerId) >= timings.silentWorkerMs && !hub.streamOf(workerId)
}
