import {globalCodebase} from '../../protocol/routes.ts'
import {requireCodebase} from '../registry/codebase-list.ts'
import {HttpError, notFound} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredWorker} from '../store/store.ts'

/** The owner of sessions outside codebases, for a worker without a global codebase of its own. */
const globalOwner = (workerId: string) => `${globalCodebase}:${workerId}`

/**
 * The owner under which a worker's sessions are stored: the codebase, which must be the worker's own. `global` stands
 * for many machines, so its sessions belong to the worker's own global codebase, or to `global:WORKER`.
 */
export function sessionOwnerFor(parts: Parts, codebaseId: string, workerId: string): string {
  if (codebaseId === globalCodebase) {
    const worker = parts.store.registry.worker(workerId)
    if (!worker) throw notFound('Worker not found - please re-register')
    return globalCodebaseOf(parts, worker) ?? globalOwner(workerId)
  }

  const codebase = requireCodebase(parts, codebaseId)
  if (codebase.worker_id !== workerId)
    throw new HttpError(403, `Codebase ${codebaseId} belongs to worker ${codebase.worker_id}, not to ${workerId}`)
  return codebaseId
}

/** The owners of a codebase's sessions. `global` has one or two per worker. `only` restricts them to one worker. */
export function sessionOwnersOf(parts: Parts, codebaseId: string, only?: string): string[] {
  if (codebaseId === globalCodebase) {
    const owners = parts.store.registry
      .workers({all: true, withModels: false})
      .filter(({worker_id}) => only === undefined || worker_id === only)
      .flatMap((worker) => [globalOwner(worker.worker_id), globalCodebaseOf(parts, worker) ?? []].flat())
    if (owners.length === 0) throw notFound('Codebase not found')
    return owners
  }

  const codebase = requireCodebase(parts, codebaseId)
  if (only !== undefined && codebase.worker_id !== only)
    throw new HttpError(403, `Codebase ${codebaseId} belongs to another worker`)
  return [codebaseId]
}

/** The codebase id that clients use for an owner. */
export const codebaseOfOwner = (owner: string) => (owner.startsWith(globalOwner('')) ? globalCodebase : owner)

function globalCodebaseOf({store}: Parts, {worker_id, global_codebase_id}: StoredWorker): string | undefined {
  const announced = global_codebase_id === null ? undefined : store.registry.codebase(global_codebase_id)
  if (announced?.worker_id === worker_id) return announced.id
  return store.registry.codebasesOf(worker_id).find(({name}) => name === globalCodebase)?.id
}
