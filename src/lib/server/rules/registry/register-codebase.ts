import {limits} from '../../../protocol/limits.ts'
import {normalizePath} from '../../../protocol/normalize-path.ts'
import {globalCodebase} from '../../../protocol/routes.ts'
import {conflict, notFound} from '../../http/http-error.ts'
import type {Identity} from '../../http/auth.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import type {StoredCodebase} from '../../state/records.ts'
import {fill} from '../dispatch/assignment.ts'
import {actAs} from './binding.ts'
import {recordContact} from '../dispatch/contact.ts'
import {inheritedCodebase, recordStart, requeueWhere} from './inheritance.ts'
import {codebaseAt, hasLeases, isPseudoCodebase, nameOf} from '../dispatch/roster.ts'
import {finish} from '../tasks/task-life.ts'

export type CodebaseRegistration = {
  worker_id: string
  codebase: Pick<StoredCodebase, 'name' | 'path' | 'description' | 'agent_config' | 'tree'>
  /** Ids for a new codebase, of which the first free one is used. */
  ids: readonly string[]
  identity: Identity | undefined
  by: string | null
}

/** Registers the worker's codebase at this path. A known codebase keeps its id. */
export const registerCodebase: Rule<CodebaseRegistration, StoredCodebase> = (
  draft,
  {worker_id: workerId, codebase: input, ids, identity, by},
) => {
  actAs(draft, identity, {workerId, by})
  recordContact(draft, workerId)
  const path = normalizePath(input.path)
  const own = codebaseAt(draft, workerId, path)
  const known = own ?? inheritedCodebase(draft, workerId, path)
  if (!own && draft.count('codebasesOf', workerId) >= limits.codebases)
    throw conflict(`Worker ${workerId} has ${limits.codebases} codebases, which is the limit`)
  const codebase: StoredCodebase = {
    ...input,
    path,
    id: known?.id ?? freeId(draft, ids),
    worker_id: workerId,
    registered_at: known?.registered_at ?? draft.timestamp,
    last_triggered: known?.last_triggered ?? null,
  }
  const former = known?.worker_id
  draft.put('codebase', codebase.id, codebase)
  if (former !== undefined && former !== workerId) takeOver(draft, codebase.id, former)
  if (former !== workerId) recordRegistration(draft, codebase, by)
  // a process that has registered it does so again only if it is told that the codebase is unknown
  if (own && input.name === globalCodebase) recordStart(draft, {worker_id: workerId})
  fill(draft, workerId)
  return codebase
}

function freeId(draft: Draft, ids: readonly string[]): string {
  const id = ids.find((candidate) => !draft.get('codebase', candidate))
  if (id === undefined) throw conflict('No free id was found for the codebase; try again')
  return id
}

/** The codebase passes from a former worker: what that one held and no process of it runs starts again. */
function takeOver(draft: Draft, codebaseId: string, formerId: string): void {
  const former = draft.get('worker', formerId)
  const hasEnded = former !== undefined && !hasLeases(former)
  requeueWhere(draft, formerId, (task) => task.codebase_id === codebaseId && (hasEnded || task.lost_since !== null))
}

function recordRegistration(draft: Draft, {id, name, path, worker_id}: StoredCodebase, by: string | null): void {
  draft.audit('codebase.registered', {who: by, worker_id, detail: `${name} (${id}): ${path}`})
  const line = `Codebase ${name} (${id}) registered by ${nameOf(draft, worker_id)}: ${path}`
  draft.emit({type: 'log', line, workerId: worker_id})
}

/**
 * Removes a codebase with its sessions, and cancels its waiting tasks. A worker that still serves the path registers it
 * again under a new id. Throws 409 while a task of the codebase runs.
 */
export const removeCodebase: Rule<{codebase_id: string; by: string | null}, void> = (draft, {codebase_id: id, by}) => {
  if (isPseudoCodebase(id)) throw conflict(`${id} belongs to no worker: it cannot be removed`)
  const codebase = draft.get('codebase', id)
  if (!codebase) throw notFound('Codebase not found')
  const {name, path, worker_id} = codebase
  for (const {taskId, workerId} of draft.find('leasesIn', id))
    throw conflict(`Task ${taskId} of codebase ${id} is running on worker ${workerId}; cancel it first`)
  const error = `the codebase ${name} (${path}) was removed`
  for (const waiting of [...draft.queue(id)]) {
    const task = draft.get('task', waiting.id)
    if (task) finish(draft, task, 'cancelled', {error, by})
  }

  draft.write({do: 'remove-owner', owner: id})
  draft.remove('codebase', id)
  draft.audit('codebase.removed', {who: by, worker_id, detail: `${name} (${id}): ${path}`})
  draft.emit({type: 'codebase-removed', codebaseId: id})
}
