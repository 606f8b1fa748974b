import {randomBytes} from 'node:crypto'
import {isoTime} from '../../core/clock.ts'
import {limits} from '../../protocol/limits.ts'
import {pendingCodebase} from '../../protocol/routes.ts'
import {HttpError} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredCodebase, StoredTask, StoredWorker} from '../store/store.ts'
import type {Once} from '../tasks/task-creation.ts'
import {onceOnly} from '../tasks/task-creation.ts'
import * as moves from '../tasks/transitions.ts'
import {tidyPath} from '../store/normalize-path.ts'

type WorkerInput = Omit<
  StoredWorker,
  'registered_at' | 'last_seen' | 'features' | 'unregistered_at' | 'tasks_completed'
> & {
  features: string[] | null
}
type CodebaseInput = Pick<StoredCodebase, 'name' | 'path' | 'description' | 'agent_config' | 'tree'>

/** A worker says hello: for the first time, again (the existing worker does each minute), or after it was away. */
export function registerWorker(parts: Parts, input: WorkerInput): StoredWorker {
  const {store, leases, roster, commits, dispatch, clock} = parts
  const now = isoTime(clock.now())
  const known = store.registry.worker(input.worker_id)
  const features = input.features ?? []
  store.registry.putWorker({...input, features, registered_at: known?.registered_at ?? now, last_seen: now})
  roster.forget(input.worker_id)
  leases.sync(input.worker_id)
  leases.setCapacity(input.worker_id, undefined)
  // it never reports what it ran before it was lost, so somebody has to begin again
  if (!features.includes('lease')) requeueLost(parts, input.worker_id, () => true)
  commits.afterCommit(() => dispatch.returned(input.worker_id))
  return store.registry.worker(input.worker_id) ?? {...input, features, ...noHistory(now)}
}

const noHistory = (now: string) => ({registered_at: now, last_seen: now, unregistered_at: null, tasks_completed: 0})

/** False when the worker was not known. What it still holds is not released: its lease ends that. */
export function unregisterWorker(parts: Parts, workerId: string): boolean {
  const {store, leases, hub, roster, clock} = parts
  const worker = store.registry.worker(workerId)
  if (!worker || worker.unregistered_at !== null) return false
  store.registry.unregister(workerId, isoTime(clock.now()))
  roster.forget(workerId)
  leases.forget(workerId)
  hub.streamOf(workerId)?.close()
  // the existing worker says goodbye and reports nothing afterwards; ours keeps its leases until they end
  if (!worker.features.includes('lease'))
    for (const task of store.tasks.runningOf(workerId)) if (task.lost_since === null) moves.lapse(parts, task)
  return true
}

/** The codebase of this worker at this path, under the id that it always had. */
export function registerCodebase(parts: Parts, workerId: string, input: CodebaseInput): StoredCodebase {
  const {store, roster, commits, dispatch, clock} = parts
  const path = tidyPath(input.path)
  const known = store.registry.codebaseAt(workerId, path) ?? inherited(parts, workerId, path)
  const codebase: StoredCodebase = {
    ...input,
    path,
    id: known?.id ?? newCodebaseId(parts),
    worker_id: workerId,
    registered_at: known?.registered_at ?? isoTime(clock.now()),
    last_triggered: known?.last_triggered ?? null,
  }
  store.registry.putCodebase(codebase)
  roster.forget(workerId)
  if (known && known.worker_id !== workerId) {
    roster.forget(known.worker_id)
    requeueLost(parts, known.worker_id, (task) => task.codebase_id === known.id)
  }

  commits.afterCommit(() => dispatch.fill(workerId))
  return codebase
}

/** Asks the workers, one after the other, to register a path that the caller cannot place. */
export function requestRegistration(
  parts: Parts,
  {name, path, description, agent_config}: CodebaseInput,
  once: Once,
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
  return onceOnly(parts, input, once)
}

/**
 * The existing worker takes a new id at each start. A codebase of a worker that is gone, of the same name on the same
 * host, is the same codebase: it keeps its id, and what waits for it.
 */
function inherited({store, hub, leases, timings}: Parts, workerId: string, path: string): StoredCodebase | undefined {
  const worker = store.registry.worker(workerId)
  if (!worker) return undefined
  const isGone = (former: StoredWorker) =>
    !hub.streamOf(former.worker_id) &&
    (former.unregistered_at !== null || leases.silence(former.worker_id) >= timings.silentWorkerMs)
  return store.registry
    .namesakes(worker)
    .filter(isGone)
    .map((former) => store.registry.codebaseAt(former.worker_id, path))
    .find((codebase) => codebase !== undefined)
}

function requeueLost(parts: Parts, workerId: string, concerns: (task: StoredTask) => boolean): void {
  for (const task of parts.store.tasks.runningOf(workerId))
    if (task.lost_since !== null && concerns(task)) moves.requeue(parts, task)
}

function newCodebaseId({store}: Parts): string {
  for (;;) {
    const id = randomBytes(4).toString('hex')
    if (!store.registry.codebase(id)) return id
  }
}
