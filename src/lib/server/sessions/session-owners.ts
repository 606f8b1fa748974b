import {globalCodebase} from '../../protocol/routes.ts'
import {existingCodebase} from '../registry/codebase-list.ts'
import {HttpError, notFound} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredWorker} from '../store/store.ts'

/** What a worker without a global codebase ran outside of codebases. */
const apart = (workerId: string) => `${globalCodebase}:${workerId}`

/**
 * Where this worker keeps sessions of a codebase: with the codebase, which must be its own. `global` is one word for
 * many machines: each worker has its own global codebase, or a home apart.
 */
export function homeFor(parts: Parts, codebaseId: string, workerId: string): string {
  if (codebaseId === globalCodebase) {
    const worker = parts.store.registry.worker(workerId)
    if (!worker) throw notFound('Worker not found - please re-register')
    return globalHomeOf(parts, worker) ?? apart(workerId)
  }

  const codebase = existingCodebase(parts, codebaseId)
  if (codebase.worker_id !== workerId)
    throw new HttpError(403, `Codebase ${codebaseId} belongs to worker ${codebase.worker_id}, not to ${workerId}`)
  return codebaseId
}

/** Where the sessions of a codebase are found; those of `global` are many workers'. `only`: whose may be seen. */
export function homesOf(parts: Parts, codebaseId: string, only?: string): string[] {
  if (codebaseId === globalCodebase) {
    const homes = parts.store.registry
      .workers({all: true, withModels: false})
      .filter(({worker_id}) => only === undefined || worker_id === only)
      .flatMap((worker) => [apart(worker.worker_id), globalHomeOf(parts, worker) ?? []].flat())
    if (homes.length === 0) throw notFound('Codebase not found')
    return homes
  }

  const codebase = existingCodebase(parts, codebaseId)
  if (only !== undefined && codebase.worker_id !== only)
    throw new HttpError(403, `Codebase ${codebaseId} belongs to another worker`)
  return [codebaseId]
}

/** The codebase that a home belongs to, as callers name it. */
export const codebaseOfHome = (home: string) => (home.startsWith(apart('')) ? globalCodebase : home)

function globalHomeOf({store}: Parts, {worker_id, global_codebase_id}: StoredWorker): string | undefined {
  const announced = global_codebase_id === null ? undefined : store.registry.codebase(global_codebase_id)
  if (announced?.worker_id === worker_id) return announced.id
  return store.registry.codebasesOf(worker_id).find(({name}) => name === globalCodebase)?.id
}
