import type {WireAgentState} from '../../../protocol/agent-state.ts'
import {notFound} from '../../http/http-error.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import type {Lease} from '../../state/records.ts'
import {fill} from '../dispatch/assignment.ts'
import {forgetBackoffsOfWorker} from '../dispatch/backoffs.ts'
import {notePresence} from '../dispatch/contact.ts'
import {askToStop, renew, requeue} from './task-life.ts'

const maxWaitingChars = 500

type ListedRun = {id: string; attempt: number; waiting?: string | null; state?: WireAgentState | null}

export type Heartbeat = {
  worker_id: string
  /** The active tasks of the worker. Null: it sends no list. */
  running: ListedRun[] | null
  free: number | null
  paused: string | null
}

/** Renews the leases of listed tasks. Tasks that must be on the list and are not return to the queue. */
export const recordHeartbeat: Rule<Heartbeat, void> = (draft, {worker_id: workerId, running, free, paused}) => {
  const worker = draft.get('worker', workerId)
  if (!worker || worker.unregistered_at !== null) throw notFound('Worker not found - please re-register')
  const capacity = free === null ? undefined : free + (running?.length ?? 0)
  const wasPaused = Boolean(draft.get('presence', workerId)?.pauseReason)
  notePresence(draft, workerId, {capacity, pauseReason: paused && paused.slice(0, 500)})
  if (running !== null) reconcile(draft, workerId, running)
  // what it declined while it was paused it takes now
  if (wasPaused && !paused) forgetBackoffsOfWorker(draft, workerId)
  fill(draft, workerId)
}

/**
 * A list of active tasks must contain the tasks that were claimed before the previous list arrived. A worker lists a task
 * before it claims it, and sends its heartbeats one after the other. A list that arrives now was therefore written after
 * the previous one. For later claims it proves nothing, because it may be older than they are.
 */
function reconcile(draft: Draft, workerId: string, running: readonly ListedRun[]): void {
  const runs = new Map(running.map((run) => [run.id, run]))
  const isListed = ({taskId, attempt}: Lease) => [0, attempt].includes(runs.get(taskId)?.attempt ?? -1)
  const mustBeListed = dueBySync(draft, workerId)
  for (const lease of [...draft.find('leasesOf', workerId)]) {
    const task = isListed(lease) ? draft.get('task', lease.taskId) : undefined
    if (!task) continue
    renew(draft, task)
    const {waiting, state} = runs.get(lease.taskId) ?? {}
    draft.update('lease', lease.taskId, {
      waiting: waiting?.slice(0, maxWaitingChars),
      agent: state
        ? {state: state.state, what: state.what.slice(0, maxWaitingChars), since: draft.time - state.for_ms}
        : undefined,
    })
  }

  for (const lease of mustBeListed) {
    const task = isListed(lease) ? undefined : draft.get('task', lease.taskId)
    if (task?.status === 'running') requeue(draft, task)
  }

  // runs of the worker that belong to another worker now; the list may also contain tasks that are not claimed yet
  for (const {id, attempt} of running) {
    if (attempt <= 0 || draft.get('lease', id)?.workerId === workerId) continue
    const task = draft.get('task', id)
    if (task && task.attempt > attempt)
      askToStop(draft, workerId, {id, codebase_id: task.codebase_id, attempt}, 'another attempt has begun')
  }
}

/** Records that a list of active tasks has arrived. Returns the leases that it must contain. */
export function dueBySync(draft: Draft, workerId: string): Lease[] {
  const previous = draft.get('presence', workerId)?.syncedAt
  notePresence(draft, workerId, {syncedAt: draft.time})
  if (previous === undefined) return []
  return [...draft.find('leasesOf', workerId)].filter(({isConfirmed, heldSince}) => isConfirmed && heldSince < previous)
}
