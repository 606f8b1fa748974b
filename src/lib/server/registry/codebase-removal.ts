import {isPseudoCodebase} from '../dispatch/roster.ts'
import {requireCodebase} from './codebase-list.ts'
import {conflict} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import * as transitions from '../tasks/transitions.ts'

/**
 * Removes a codebase with its sessions, and cancels its waiting tasks. A worker that still serves the path registers it
 * again under a new id. Throws 409 while a task of the codebase runs.
 */
export function removeCodebase(parts: Parts, id: string, by: string | null): void {
  const {store, roster, commits, hub, audit} = parts
  if (isPseudoCodebase(id)) throw conflict(`${id} belongs to no worker: it cannot be removed`)
  const codebase = requireCodebase(parts, id)
  const [running] = store.tasks.list({status: 'running', codebase_id: id})
  if (running)
    throw conflict(`Task ${running.id} of codebase ${id} is running on worker ${running.worker_id}; cancel it first`)

  const error = `the codebase ${codebase.name} (${codebase.path}) was removed`
  for (const waiting of [...store.tasks.pendingOf(id)]) {
    const task = store.tasks.get(waiting.id)
    if (task) transitions.finish(parts, task, 'cancelled', {error, by})
  }

  store.sessions.removeOwner(id)
  store.registry.removeCodebase(id)
  const detail = `${codebase.name} (${id}): ${codebase.path}`
  audit.record('codebase.removed', {who: by, worker_id: codebase.worker_id, detail})
  roster.invalidate(codebase.worker_id)
  commits.afterCommit(() => hub.codebaseChanged(id))
}
