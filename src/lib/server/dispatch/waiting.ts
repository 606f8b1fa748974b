import {parseTime} from '../../core/clock.ts'
import type {WireAgentState} from '../../protocol/agent-state.ts'
import {globalCodebase, pendingCodebase} from '../../protocol/routes.ts'
import type {Parts} from './parts.ts'
import type {StoredTask} from '../store/store.ts'

/** A worker without a stream counts as polling if it made a request this recently. */
const recentMs = 45_000

function runningReason({id}: StoredTask, {roster, leases, clock}: Pick<Parts, 'roster' | 'leases' | 'clock'>) {
  const lease = leases.get(id)
  if (lease?.cancelledAt === undefined) return lease?.waiting ?? null
  const seconds = Math.max(0, Math.ceil((lease.cancelledAt - clock.monotonic()) / 1000))
  return `worker ${roster.profile(lease.workerId).name} cannot be stopped: the task counts as cancelled in ${seconds} s, and its agent may run on`
}

/** What the agent of a running task does now, as its worker has reported. */
export function agentStateOf({id, status}: StoredTask, {leases, clock}: Parts): WireAgentState | null {
  const known = status === 'running' ? leases.get(id)?.state : undefined
  return known ? {state: known.state, what: known.what, for_ms: Math.round(clock.monotonic() - known.since)} : null
}

/** The reason, for people, why a pending task is not taken yet, or why the agent of a running task waits. */
export function waitingReason(task: StoredTask, parts: Parts): string | null {
  const {store, roster, dispatch, leases, clock} = parts
  if (task.status === 'running') return runningReason(task, parts)
  if (task.status !== 'pending') return null
  const offer = dispatch.offers.get(task.id)
  const nameOf = (workerId: string) => roster.profile(workerId).name
  if (offer) return `offered to ${nameOf(offer.workerId)}`
  const occupant = dispatch.blockerOf(task)
  if (occupant) return `working tree busy with task ${occupant}`

  const workers = roster.streamsFor(task.codebase_id).map(({workerId}) => workerId)
  if (workers.length === 0) return noStreamReason()
  const [only = ''] = workers
  const refusals = workers.map((workerId) => dispatch.backoffs.get(task.id, workerId))
  const reason = refusals.find((refusal) => refusal?.reason !== undefined)?.reason
  if (reason !== undefined) return `declined: ${reason}`
  const pauses = workers.map((workerId) => leases.pauseReasonOf(workerId))
  if (pauses.every((pause) => pause !== null)) return `worker ${nameOf(only)} takes no tasks: ${pauses[0]}`
  if (workers.every((workerId) => dispatch.freeSlots(workerId) <= 0))
    return workers.length === 1 ? `worker ${nameOf(only)} has no free slot` : 'no worker has a free slot'
  if (refusals.some((refusal) => refusal !== undefined))
    return `worker ${nameOf(only)} did not take it; asked again soon`
  const slow = workers.find((workerId) => !dispatch.canPush(task, workerId))
  if (slow !== undefined)
    return `its prompt is too long to be pushed to worker ${nameOf(slow)}, which takes it when it polls`
  return task.required?.length ? capabilityReason(task.required, parts) : null

  function noStreamReason(): string | null {
    if (task.codebase_id === globalCodebase || task.codebase_id === pendingCodebase) return 'no worker is connected'
    const owner = store.registry.codebase(task.codebase_id)?.worker_id
    const worker = owner === undefined ? undefined : store.registry.worker(owner)
    if (!worker || worker.unregistered_at !== null) return 'no worker serves this codebase'
    if (clock.now() - (parseTime(worker.last_seen) ?? 0) < recentMs)
      return `worker ${worker.name} has no open stream; it will see the task when it polls`
    return `worker ${worker.name} is offline since ${worker.last_seen}`
  }
}

/** No worker of the codebase has the capabilities. Perhaps a worker has them that serves other codebases. */
function capabilityReason(required: readonly string[], {hub, roster, store}: Parts): string {
  const what = `${required.length === 1 ? 'the capability' : 'the capabilities'} ${required.join(', ')}`
  const able = [...hub.streams()].find(({capabilities}) => required.every((one) => capabilities.includes(one)))
  if (!able) return `no worker connected has ${what}`
  const served = store.registry.codebasesOf(able.workerId).map(({name}) => name)
  const elsewhere = served.length > 0 ? `, but serves only ${served.slice(0, 3).join(', ')}` : ' and serves no codebase'
  return `no worker of this codebase has ${what}; worker ${roster.profile(able.workerId).name} has${required.length === 1 ? ' it' : ' them'}${elsewhere}`
}
