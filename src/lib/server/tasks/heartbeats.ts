import {isoTime} from '../../core/clock.ts'
import type {WireAgentState} from '../../protocol/agent-state.ts'
import {notFound} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import * as transitions from './transitions.ts'

const maxWaitingChars = 500

export type HeartbeatInput = {
  running: {id: string; attempt: number; waiting?: string | null; state?: WireAgentState | null}[] | null
  free: number | null
  paused: string | null
}

/** Records that a worker is alive. Called for any request that names it. */
export function recordContact({store, leases, clock}: Parts, workerId: string): void {
  // a request can name any id; only registered workers are recorded
  if (store.registry.recordContact(workerId, isoTime(clock.now()))) leases.recordContact(workerId)
}

/** Renews the leases of listed tasks. Tasks that must be on the list and are not return to the queue. */
export function recordHeartbeat(parts: Parts, workerId: string, {running, free, paused}: HeartbeatInput): void {
  const {store, leases, commits, dispatch} = parts
  const worker = store.registry.worker(workerId)
  if (!worker || worker.unregistered_at !== null) throw notFound('Worker not found - please re-register')
  recordContact(parts, workerId)
  if (running !== null) reconcile(parts, workerId, running)
  leases.setCapacity(
    workerId,
    free === null ? undefined : free + (running?.length ?? 0),
    paused && paused.slice(0, 500),
  )
  commits.afterCommit(() => dispatch.fillWorker(workerId))
}

function reconcile(parts: Parts, workerId: string, running: NonNullable<HeartbeatInput['running']>): void {
  const {store, leases, commits, clock} = parts
  const listed = new Map(running.map(({id, attempt}) => [id, attempt]))
  const runs = new Map(running.map((run) => [run.id, run]))
  const isListed = (id: string, attempt: number) => [0, attempt].includes(listed.get(id) ?? -1)
  const mustBeListed = leases.sync(workerId)
  for (const lease of leases.heldBy(workerId)) {
    if (!isListed(lease.taskId, lease.attempt)) continue
    leases.renew(lease)
    const {waiting, state} = runs.get(lease.taskId) ?? {}
    lease.waiting = waiting?.slice(0, maxWaitingChars)
    lease.state = state
      ? {state: state.state, what: state.what.slice(0, maxWaitingChars), since: clock.monotonic() - state.for_ms}
      : undefined
    const task = store.tasks.get(lease.taskId)
    if (task?.lost_since) transitions.renew(parts, task)
  }

  for (const {taskId, attempt} of mustBeListed) {
    const task = isListed(taskId, attempt) ? undefined : store.tasks.get(taskId)
    if (task?.status === 'running') transitions.requeue(parts, task)
  }

  // runs of the worker that belong to another worker now; the list may also contain tasks that are not claimed yet
  for (const [id, attempt] of listed) {
    if (leases.get(id)?.workerId === workerId) continue
    const task = store.tasks.get(id)
    if (task && attempt > 0 && task.attempt > attempt)
      commits.afterCommit(() =>
        transitions.sendCancel(parts, workerId, {...task, attempt}, 'another attempt has begun'),
      )
  }
}
