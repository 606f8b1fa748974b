import {globalCodebase} from '../../../protocol/routes.ts'
import {HttpError, notFound} from '../../http/http-error.ts'
import {all, type StoredWorker} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {requireCodebase} from '../dispatch/required.ts'

/** The owner of sessions outside codebases, for a worker without a global codebase of its own. */
const globalOwner = (workerId: string) => `${globalCodebase}:${workerId}`

/**
 * The owner under which a worker's sessions are stored: the codebase, which must be the worker's own. `global` stands
 * for many machines, so its sessions belong to the worker's own global codebase, or to `global:WORKER`.
 */
export function sessionOwnerFor(state: State, codebaseId: string, workerId: string): string {
  if (codebaseId === globalCodebase) {
    const worker = state.get('worker', workerId)
    if (!worker) throw notFound('Worker not found - please re-register')
    return globalCodebaseOf(state, worker) ?? globalOwner(workerId)
  }

  const codebase = requireCodebase(state, codebaseId)
  if (codebase.worker_id !== workerId)
    throw new HttpError(403, `Codebase ${codebaseId} belongs to worker ${codebase.worker_id}, not to ${workerId}`)
  return codebaseId
}

/** The owners of a codebase's sessions. `global` has one or two per worker. `only` restricts them to one worker. */
export function sessionOwnersOf(state: State, codebaseId: string, only?: string): string[] {
  if (codebaseId === globalCodebase) {
    const owners = [...state.find('knownWorkers', all)]
      .filter(({worker_id}) => only === undefined || worker_id === only)
      .flatMap((worker) => [globalOwner(worker.worker_id), globalCodebaseOf(state, worker) ?? []].flat())
    if (owners.length === 0) throw notFound('Codebase not found')
    return owners
  }

  const codebase = requireCodebase(state, codebaseId)
  if (only !== undefined && codebase.worker_id !== only)
    throw new HttpError(403, `Codebase ${codebaseId} belongs to another worker`)
  return [codebaseId]
}

/** The codebase id that clients use for an owner. */
export const codebaseOfOwner = (owner: string) => (owner.startsWith(globalOwner('')) ? globalCodebase : owner)

function globalCodebaseOf(state: State, {worker_id, global_codebase_id}: Readonly<StoredWorker>): string | undefined {
  const announced = global_codebase_id === null ? undefined : state.get('codebase', global_codebase_id)
  if (announced?.worker_id === worker_id) return announced.id
  return [...state.find('codebasesOf', worker_id)].find(({name}) => name === globalCodebase)?.id
}
