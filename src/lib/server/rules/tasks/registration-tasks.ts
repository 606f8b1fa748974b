import {isPathDecline} from '../../../protocol/declines.ts'
import {normalizePath} from '../../../protocol/normalize-path.ts'
import type {FinalStatus} from '../../../protocol/schemas.ts'
import type {Draft} from '../../state/draft.ts'
import {all, type StoredTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {forgetOffer, placeById} from '../dispatch/assignment.ts'
import {declinersOf, recordDecline} from '../dispatch/backoffs.ts'
import {silentMs} from '../dispatch/contact.ts'
import {codebaseAt} from '../dispatch/roster.ts'
import {finish, isHeld, requeue, type Outcome} from './task-life.ts'

/** A polling worker counts as present if it made a request this recently. */
const presentMs = 45_000

export const isRegistrationTask = ({agent_type}: Pick<StoredTask, 'agent_type'>) => agent_type === 'register_codebase'

/** Whether a registration failed because the worker does not have the path. Another worker may have it. */
export const isDeclinedRegistration = (
  task: Readonly<StoredTask>,
  status: FinalStatus,
  error: string | null | undefined,
): boolean => isRegistrationTask(task) && status === 'failed' && isPathDecline(error)

/**
 * Treats the failure as a decline: gives the task to the next worker. It fails when all present workers declined. A
 * worker without the path is not asked again until it connects or registers again.
 */
export function passToNextWorker(draft: Draft, task: Readonly<StoredTask>, workerId: string, error: string): void {
  recordDecline(draft, {taskId: task.id, workerId, reason: error, forMs: Number.POSITIVE_INFINITY})
  if (haveAllDeclined(draft, declinersOf(draft, task.id))) return finish(draft, task, 'failed', {error})
  if (isHeld(task)) return requeue(draft, task, {keepsBackoffs: true})
  if (draft.get('offer', task.id)?.workerId === workerId) forgetOffer(draft, task.id)
  placeById(draft, task.id)
}

/** Fails registrations that no present worker can take: the workers not asked yet may have left meanwhile. */
export function failUntakenRegistrations(draft: Draft): void {
  const declined = [...draft.find('backoffs', all)].filter(({reason}) => isPathDecline(reason))
  for (const taskId of new Set(declined.map((backoff) => backoff.taskId))) {
    const decliners = declinersOf(draft, taskId)
    const error = [...decliners.values()].find(isPathDecline)
    if (error === undefined || !haveAllDeclined(draft, decliners)) continue
    const task = draft.get('task', taskId)
    if (task?.status === 'pending') finish(draft, task, 'failed', {error})
  }
}

/** Adds the registered codebase to the task's metadata. The existing worker only names it in the result text. */
export function withCodebase(state: State, task: Readonly<StoredTask>, workerId: string, outcome: Outcome): Outcome {
  const path = task.metadata['path']
  const idInText = /\bID: (\S+)/.exec(outcome.result ?? '')?.[1]
  const codebase =
    (typeof path === 'string' ? codebaseAt(state, workerId, normalizePath(path)) : undefined) ??
    (idInText === undefined ? undefined : state.get('codebase', idInText))
  if (codebase?.worker_id !== workerId) return outcome
  return {...outcome, metadata: {...task.metadata, codebase_id: codebase.id, worker_id: workerId}}
}

/** Whether all present workers (connected or polling) declined. False if none is present: one may still come. */
function haveAllDeclined(state: State, decliners: ReadonlyMap<string, string>): boolean {
  const isPresent = (id: string) => state.get('connection', id) !== undefined || silentMs(state, id) < presentMs
  const present = [...state.find('workers', all)].filter(({worker_id}) => isPresent(worker_id))
  return present.length > 0 && present.every(({worker_id}) => isPathDecline(decliners.get(worker_id)))
}
