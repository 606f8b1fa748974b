import {parseTime} from '../../core/clock.ts'
import type {WireAgentState} from '../../protocol/agent-state.ts'
import {globalCodebase, pendingCodebase} from '../../protocol/routes.ts'
import {questionsText, type OpenQuestion} from '../../protocol/task-input.ts'
import {canPush} from '../rules/dispatch/assignment.ts'
import {backoffOf} from '../rules/dispatch/backoffs.ts'
import {blockerOf, hasSlot} from '../rules/dispatch/capacity.ts'
import {lastSeenOf} from '../rules/dispatch/contact.ts'
import {connectionsFor, nameOf} from '../rules/dispatch/roster.ts'
import {waitingFor} from '../rules/tasks/dialogue.ts'
import {all, type StoredTask} from '../state/records.ts'
import type {State} from '../state/state.ts'

type Task = Readonly<StoredTask>

/** A worker without a stream counts as polling if it made a request this recently. */
const recentMs = 45_000

function runningReason(task: Task, state: State) {
  const lease = state.get('lease', task.id)
  if (lease?.cancelledAt === undefined) return questionsText(waitingFor(state, task)) ?? lease?.waiting ?? null
  const seconds = Math.max(0, Math.ceil((lease.cancelledAt - state.time) / 1000))
  return `worker ${nameOf(state, lease.workerId)} cannot be stopped: the task counts as cancelled in ${seconds} s, and its agent may run on`
}

/** What the agent of a running task does now, as its worker has reported. */
export function agentStateOf({id, status}: Task, state: State): WireAgentState | null {
  const known = status === 'running' ? state.get('lease', id)?.agent : undefined
  return known ? {state: known.state, what: known.what, for_ms: Math.round(state.time - known.since)} : null
}

/** What the agent of a running task asks, as a field of the task. None if it asks nothing. */
export function questionsOf(task: Task, state: State): {waiting_for?: OpenQuestion[]} {
  const questions = waitingFor(state, task)
  return questions.length > 0 ? {waiting_for: questions} : {}
}

/** The reason, for people, why a pending task is not taken yet, or why the agent of a running task waits. */
export function waitingReason(task: Task, state: State): string | null {
  const named = (workerId: string) => nameOf(state, workerId)
  if (task.status === 'running') return runningReason(task, state)
  if (task.status === 'assigned') return `assigned to ${named(task.worker_id ?? '')}`
  if (task.status !== 'pending') return null
  const offer = state.get('offer', task.id)
  if (offer) return `offered to ${named(offer.workerId)}`
  const occupant = blockerOf(state, task)
  if (occupant) return `working tree busy with task ${occupant}`

  const workers = connectionsFor(state, task.codebase_id).map(({workerId}) => workerId)
  if (workers.length === 0) return noStreamReason()
  const [only = ''] = workers
  const refusals = workers.map((workerId) => backoffOf(state, task.id, workerId))
  const reason = refusals.find((refusal) => refusal?.reason !== undefined)?.reason
  if (reason !== undefined) return `declined: ${reason}`
  const pauses = workers.map((workerId) => state.get('presence', workerId)?.pauseReason ?? null)
  if (pauses.every((pause) => pause !== null)) return `worker ${named(only)} takes no tasks: ${pauses[0]}`
  if (workers.every((workerId) => !hasSlot(state, workerId)))
    return workers.length === 1 ? `worker ${named(only)} has no free slot` : 'no worker has a free slot'
  if (refusals.some((refusal) => refusal !== undefined))
    return `worker ${named(only)} did not take it; asked again soon`
  const slow = workers.find((workerId) => !canPush(state, task, workerId))
  if (slow !== undefined)
    return `its prompt is too long to be pushed to worker ${named(slow)}, which takes it when it polls`
  return task.required?.length ? capabilityReason(task.required, state) : null

  function noStreamReason(): string | null {
    if (task.codebase_id === globalCodebase || task.codebase_id === pendingCodebase)
      return state.count('connections', all) === 0
        ? 'no worker is connected'
        : `no worker takes tasks of ${task.codebase_id}`
    const owner = state.get('codebase', task.codebase_id)?.worker_id
    const worker = owner === undefined ? undefined : state.get('worker', owner)
    if (!worker || worker.unregistered_at !== null) return 'no worker serves this codebase'
    const lastSeen = lastSeenOf(state, worker)
    if (state.now - (parseTime(lastSeen) ?? 0) < recentMs)
      return `worker ${worker.name} has no open stream; it will see the task when it polls`
    return `worker ${worker.name} is offline since ${lastSeen}`
  }
}

/** No worker of the codebase has the capabilities. Perhaps a worker has them that serves other codebases. */
function capabilityReason(required: readonly string[], state: State): string {
  const what = `${required.length === 1 ? 'the capability' : 'the capabilities'} ${required.join(', ')}`
  const able = [...state.find('connections', all)].find(({capabilities}) =>
    required.every((one) => capabilities.includes(one)),
  )
  if (!able) return `no worker connected has ${what}`
  const served = [...state.find('codebasesOf', able.workerId)].map(({name}) => name)
  const elsewhere = served.length > 0 ? `, but serves only ${served.slice(0, 3).join(', ')}` : ' and serves no codebase'
  return `no worker of this codebase has ${what}; worker ${nameOf(state, able.workerId)} has${required.length === 1 ? ' it' : ' them'}${elsewhere}`
}
