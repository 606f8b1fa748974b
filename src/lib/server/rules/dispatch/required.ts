import {notFound} from '../../http/http-error.ts'
import type {StoredCodebase, StoredTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'

/** A task that must exist. Throws 404. */
export function requireTask(state: State, id: string): Readonly<StoredTask> {
  const task = state.get('task', id)
  if (!task) throw notFound('Task not found')
  return task
}

/** A codebase that must exist. Throws 404. */
export function requireCodebase(state: State, id: string): Readonly<StoredCodebase> {
  const codebase = state.get('codebase', id)
  if (!codebase) throw notFound('Codebase not found')
  return codebase
}
