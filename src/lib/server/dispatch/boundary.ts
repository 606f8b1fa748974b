import type {StoredTask} from '../store/store.ts'
import type {Parts} from './parts.ts'
import {isPseudoCodebase} from './roster.ts'

type Boundary = Pick<Parts, 'store' | 'roster'>

/** Whether the codebase is registered by this worker. */
export const ownsCodebase = ({store}: Pick<Parts, 'store'>, workerId: string, codebaseId: string): boolean =>
  store.registry.codebase(codebaseId)?.worker_id === workerId

/** Whether a worker's token may read the task: its worker holds or held it, serves its codebase, or may take it. */
export function mayRead(parts: Boundary, workerId: string, task: StoredTask): boolean {
  if (task.worker_id === workerId || ownsCodebase(parts, workerId, task.codebase_id)) return true
  return task.status === 'pending' && sharedCodebasesOf(parts, workerId).includes(task.codebase_id)
}

/** The codebases of no worker whose waiting tasks this worker may take. */
export function sharedCodebasesOf({store, roster}: Boundary, workerId: string): string[] {
  if (!store.registry.worker(workerId)) return []
  return [...roster.codebasesOf(workerId)].filter(isPseudoCodebase)
}
