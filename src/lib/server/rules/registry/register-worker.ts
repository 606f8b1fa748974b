import {conflict, notFound} from '../../http/http-error.ts'
import type {Identity} from '../../http/auth.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import type {StoredWorker} from '../../state/records.ts'
import {actAs} from './binding.ts'
import {onReturned} from './connections.ts'
import {closeStream, lastSeenOf, notePresence, silentMs} from '../dispatch/contact.ts'
import {dueBySync} from '../tasks/heartbeats.ts'
import {requeueWhere} from './inheritance.ts'
import {hasLeases} from '../dispatch/roster.ts'
import {expire, isHeld, requeue} from '../tasks/task-life.ts'

type WorkerInput = Omit<
  StoredWorker,
  'registered_at' | 'last_seen' | 'features' | 'unregistered_at' | 'tasks_completed' | 'forgotten_at' | 'token'
> & {features: string[] | null; models: unknown[]}

export type Registration = {
  worker: WorkerInput
  /** Whose token the request carried. */
  identity: Identity | undefined
  /** The network address that it came from. */
  address: string | undefined
  /** Why it announces no models, for people. */
  modelsNote?: string | null
  by: string | null
}

/** Registers a worker: the first time, again (the existing worker does so each minute), or after an absence. */
export const registerWorker: Rule<Registration, StoredWorker> = (
  draft,
  {worker: input, identity, address, modelsNote = null, by},
) => {
  const {models, features: given, ...fields} = input
  const {worker_id: workerId} = fields
  actAs(draft, identity, {workerId, machineId: fields.machine_id, by})
  const known = draft.get('worker', workerId)
  const worker: StoredWorker = {
    ...fields,
    features: given ?? [],
    token: identity?.scope === 'worker' ? identity.hash : null,
    registered_at: known?.registered_at ?? draft.timestamp,
    last_seen: draft.timestamp,
    unregistered_at: null,
    forgotten_at: null,
    tasks_completed: known?.tasks_completed ?? 0,
  }
  draft.put('worker', workerId, worker)
  draft.write({do: 'set-models', workerId, models})
  dueBySync(draft, workerId)
  notePresence(draft, workerId, {capacity: undefined, pauseReason: null, address, modelsNote})
  // a worker without leases never reports what it ran before it was lost, so those tasks start again
  if (!hasLeases(worker)) requeueWhere(draft, workerId, ({lost_since}) => lost_since !== null)
  onReturned(draft, workerId)
  if (!known || known.unregistered_at !== null) recordRegistration(draft, worker, by)
  return worker
}

function recordRegistration(draft: Draft, {worker_id, name, hostname, version}: StoredWorker, by: string | null): void {
  const from = `${hostname ? `, host ${hostname}` : ''}${version ? `, version ${version}` : ''}`
  draft.audit('worker.registered', {who: by, worker_id, detail: `${name}${from}`})
  draft.emit({type: 'log', line: `Worker ${name} (${worker_id}) registered${from}`, workerId: worker_id})
}

type Named = {worker_id: string; by: string | null}

/** Returns false if the worker is unknown. Its tasks are not released: their leases expire. */
export const unregisterWorker: Rule<Named, boolean> = (draft, {worker_id: workerId, by}) => {
  const worker = draft.get('worker', workerId)
  if (!worker || worker.unregistered_at !== null) return false
  draft.update('worker', workerId, {unregistered_at: draft.timestamp, last_seen: draft.timestamp})
  draft.audit('worker.unregistered', {who: by, worker_id: workerId, detail: worker.name})
  draft.remove('presence', workerId)
  closeStream(draft, workerId)
  for (const {taskId} of [...draft.find('leasesOf', workerId)]) {
    const task = draft.get('task', taskId)
    // the existing worker reports nothing after this; ours keeps its leases until they expire
    if (task && !hasLeases(worker) && task.lost_since === null) expire(draft, task)
    else if (task?.status === 'assigned') requeue(draft, task)
  }
  return true
}

/**
 * Declares a worker dead: frees its tokens, and returns its tasks to the queue. Its codebases stay, for the worker that
 * takes its place. Returns how many tasks were requeued. Throws 404, or 409 if the worker is alive.
 */
export const forgetWorker: Rule<Named, number> = (draft, {worker_id: workerId, by}) => {
  const worker = draft.get('worker', workerId)
  if (!worker || worker.forgotten_at !== null) throw notFound(`Worker ${workerId} not found`)
  const isSilent = worker.unregistered_at !== null || silentMs(draft, workerId) >= draft.policy.leaseMs
  if (draft.get('connection', workerId) || !isSilent)
    throw conflict(
      `Worker ${workerId} (${worker.name}) is alive: last seen ${lastSeenOf(draft, worker)}. Stop it first`,
    )
  const held = [...draft.find('leasesOf', workerId)].map(({taskId}) => taskId)
  unregisterWorker(draft, {worker_id: workerId, by})
  for (const id of held) {
    const task = draft.get('task', id)
    if (task && isHeld(task) && task.worker_id === workerId) requeue(draft, task)
  }

  draft.update('worker', workerId, {forgotten_at: draft.timestamp})
  for (const {token} of [...draft.find('bindingsOf', workerId)]) draft.remove('binding', token)
  draft.audit('worker.forgotten', {who: by, worker_id: workerId, detail: worker.name})
  return held.length
}
