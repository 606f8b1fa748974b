import type {StoredTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {codebasesFor, isPseudoCodebase} from './roster.ts'

/** Whether the codebase is registered by this worker. */
export const ownsCodebase = (state: State, workerId: string, codebaseId: string): boolean =>
  state.get('codebase', codebaseId)?.worker_id === workerId

/** Whether a worker's token may read the task: its worker holds or held it, serves its codebase, or may take it. */
export function mayRead(
  state: State,
  workerId: string,
  task: Readonly<Pick<StoredTask, 'worker_id' | 'codebase_id' | 'status'>>,
): boolean {
  if (task.worker_id === workerId || ownsCodebase(state, workerId, task.codebase_id)) return true
  return task.status === 'pending' && sharedCodebasesOf(state, workerId).includes(task.codebase_id)
}

/** The codebases of no worker whose waiting tasks this worker may take. */
export function sharedCodebasesOf(state: State, workerId: string): string[] {
  if (!state.get('worker', workerId)) return []
  return [...codebasesFor(state, workerId)].filter(isPseudoCodebase)
}
