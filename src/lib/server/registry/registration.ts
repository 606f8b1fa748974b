import {randomBytes} from 'node:crypto'
import {isoTime} from '../../core/clock.ts'
import {limits} from '../../protocol/limits.ts'
import {globalCodebase, pendingCodebase} from '../../protocol/routes.ts'
import {conflict, HttpError, notFound} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredCodebase, StoredTask, StoredWorker} from '../store/store.ts'
import type {IdempotencyKey} from '../tasks/task-creation.ts'
import {createOnce} from '../tasks/task-creation.ts'
import * as transitions from '../tasks/transitions.ts'
import {normalizePath} from '../../protocol/normalize-path.ts'
import {hasLeases, inheritedCodebase} from './inheritance.ts'
import {recordStart, requeueWhere} from './restarts.ts'

type WorkerInput = Omit<
  StoredWorker,
  'registered_at' | 'last_seen' | 'features' | 'unregistered_at' | 'tasks_completed' | 'forgotten_at'
> & {
  features: string[] | null
}
type CodebaseInput = Pick<StoredCodebase, 'name' | 'path' | 'description' | 'agent_config' | 'tree'>

/** Registers a worker: the first time, again (the existing worker does so each minute), or after an absence. */
export function registerWorker(parts: Parts, input: WorkerInput, by: string | null): StoredWorker {
  const {store, leases, roster, commits, dispatch, clock} = parts
  const now = isoTime(clock.now())
  const known = store.registry.worker(input.worker_id)
  const features = input.features ?? []
  store.registry.putWorker({...input, features, registered_at: known?.registered_at ?? now, last_seen: now})
  roster.invalidate(input.worker_id)
  leases.sync(input.worker_id)
  leases.setCapacity(input.worker_id, undefined)
  // a worker without leases never reports what it ran before it was lost, so those tasks start again
  if (!features.includes('lease')) requeueWhere(parts, input.worker_id, isLost)
  commits.afterCommit(() => dispatch.onReturned(input.worker_id))
  if (!known || known.unregistered_at !== null) recordRegistration(parts, input, by)
  return store.registry.worker(input.worker_id) ?? {...input, features, ...noHistory(now)}
}

function recordRegistration(
  {commits, log, audit}: Parts,
  {worker_id: workerId, name, hostname, version}: WorkerInput,
  by: string | null,
): void {
  const from = `${hostname ? `, host ${hostname}` : ''}${version ? `, version ${version}` : ''}`
  audit.record('worker.registered', {who: by, worker_id: workerId, detail: `${name}${from}`})
  commits.afterCommit(() => log(`Worker ${name} (${workerId}) registered${from}`, 'info', {workerId}))
}

const noHistory = (now: string) => ({
  ...{registered_at: now, last_seen: now},
  ...{unregistered_at: null, forgotten_at: null, tasks_completed: 0},
})

/** Returns false if the worker is unknown. Its tasks are not released: their leases expire. */
export function unregisterWorker(parts: Parts, workerId: string, by: string | null): boolean {
  const {store, leases, hub, roster, clock, audit} = parts
  const worker = store.registry.worker(workerId)
  if (!worker || worker.unregistered_at !== null) return false
  store.registry.unregister(workerId, isoTime(clock.now()))
  audit.record('worker.unregistered', {who: by, worker_id: workerId, detail: worker.name})
  roster.invalidate(workerId)
  leases.forget(workerId)
  hub.streamOf(workerId)?.close()
  // the existing worker reports nothing after this; ours keeps its leases until they expire
  if (!worker.features.includes('lease'))
    for (const task of store.tasks.runningOf(workerId)) if (task.lost_since === null) transitions.expire(parts, task)
  return true
}

/**
 * Declares a worker dead: frees its tokens, and returns its tasks to the queue. Its codebases stay, for the worker that
 * takes its place. Returns how many tasks were requeued. Throws 404, or 409 if the worker is alive.
 */
export function forgetWorker(parts: Parts, workerId: string, by: string | null): number {
  const {store, hub, leases, clock, audit} = parts
  const worker = store.registry.worker(workerId)
  if (!worker || worker.forgotten_at !== null) throw notFound(`Worker ${workerId} not found`)
  const isSilent = worker.unregistered_at !== null || leases.silentMs(workerId) >= parts.timings.leaseMs
  if (hub.streamOf(workerId) || !isSilent)
    throw conflict(`Worker ${workerId} (${worker.name}) is alive: last seen ${worker.last_seen}. Stop it first`)
  const running = store.tasks.runningOf(workerId)
  unregisterWorker(parts, workerId, by)
  for (const {id} of running) {
    const task = store.tasks.get(id)
    if (task?.status === 'running' && task.worker_id === workerId) transitions.requeue(parts, task)
  }

  store.registry.forget(workerId, isoTime(clock.now()))
  audit.record('worker.forgotten', {who: by, worker_id: workerId, detail: worker.name})
  return running.length
}

/** Registers the worker's codebase at this path. A known codebase keeps its id. */
export function registerCodebase(
  parts: Parts,
  workerId: string,
  input: CodebaseInput,
  by: string | null,
): StoredCodebase {
  const {store, roster, commits, dispatch, clock} = parts
  const path = normalizePath(input.path)
  const own = store.registry.codebaseAt(workerId, path)
  const known = own ?? inheritedCodebase(parts, workerId, path)
  if (!own && store.registry.codebasesOf(workerId).length >= limits.codebases)
    throw conflict(`Worker ${workerId} has ${limits.codebases} codebases, which is the limit`)
  const codebase: StoredCodebase = {
    ...input,
    path,
    id: known?.id ?? newCodebaseId(parts),
    worker_id: workerId,
    registered_at: known?.registered_at ?? isoTime(clock.now()),
    last_triggered: known?.last_triggered ?? null,
  }
  store.registry.putCodebase(codebase)
  roster.invalidate(workerId)
  if (known && known.worker_id !== workerId) {
    roster.invalidate(known.worker_id)
    const former = store.registry.worker(known.worker_id)
    const hasEnded = former !== undefined && !hasLeases(former)
    requeueWhere(parts, known.worker_id, (task) => task.codebase_id === known.id && (hasEnded || isLost(task)))
  }
  if (known?.worker_id !== workerId)
    parts.audit.record('codebase.registered', {
      who: by,
      worker_id: workerId,
      detail: `${codebase.name} (${codebase.id}): ${path}`,
    })
  // a process that has registered it does so again only if it is told that the codebase is unknown
  if (own && input.name === globalCodebase) recordStart(parts, workerId)

  commits.afterCommit(() => {
    dispatch.fillWorker(workerId)
    if (known?.worker_id === workerId) return
    parts.log(
      `Codebase ${codebase.name} (${codebase.id}) registered by ${roster.profile(workerId).name}: ${path}`,
      'info',
      {workerId},
    )
  })
  return codebase
}

/** Creates a task that asks the workers, one after the other, to register a path. */
export function requestRegistration(
  parts: Parts,
  {name, path, description, agent_config}: CodebaseInput,
  key: IdempotencyKey,
): StoredTask {
  if (!parts.store.registry.hasWorkers())
    throw new HttpError(400, 'No workers available. Start a worker on the machine with access to this path.')
  const input = {
    codebase_id: pendingCodebase,
    title: `Register codebase: ${name}`.slice(0, limits.title),
    prompt: `Register the codebase at ${path}`,
    agent_type: 'register_codebase',
    metadata: {name, path, description, agent_config},
  }
  return createOnce(parts, input, key)
}

const isLost = ({lost_since}: StoredTask) => lost_since !== null

function newCodebaseId({store}: Parts): string {
  for (;;) {
    const id = randomBytes(4).toString('hex')
    if (!store.registry.codebase(id)) return id
  }
}
