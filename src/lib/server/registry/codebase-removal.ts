import {isPseudo} from '../dispatch/roster.ts'
import {existingCodebase} from './codebase-list.ts'
import {conflict} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import * as moves from '../tasks/transitions.ts'

/**
 * Removes a codebase, with its sessions; what waits for it is cancelled. A worker that still serves the path registers
 * it anew, under another id. 409 while a task of it runs.
 */
export function removeCodebase(parts: Parts, id: string): void {
  const {store, roster, commits, hub} = parts
  if (isPseudo(id)) throw conflict(`${id} belongs to no worker: it cannot be removed`)
  const codebase = existingCodebase(parts, id)
  const [running] = store.tasks.list({status: 'running', codebase_id: id})
  if (running)
    throw conflict(`Task ${running.id} of codebase ${id} is running on worker ${running.worker_id}; cancel it first`)

  const error = `the codebase ${codebase.name} (${codebase.path}) was removed`
  for (const waiting of [...store.tasks.pendingOf(id)]) {
    const task = store.tasks.get(waiting.id)
    if (task) moves.finish(parts, task, 'cancelled', {error})
  }

  store.sessions.removeHome(id)
  store.registry.removeCodebase(id)
  roster.forget(codebase.worker_id)
  commits.afterCommit(() => hub.codebaseChanged(id))
}
