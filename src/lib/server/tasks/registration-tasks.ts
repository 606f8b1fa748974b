import {isPathDecline} from '../../protocol/declines.ts'
import type {FinalStatus} from '../../protocol/schemas.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'
import * as transitions from './transitions.ts'
import type {Outcome} from './transitions.ts'
import {normalizePath} from '../../protocol/normalize-path.ts'

/** A polling worker counts as present if it made a request this recently. */
const presentMs = 45_000
/** A worker without the path is not asked again until it connects or registers again. */
/** The longest time for which a worker may decline a task at once. */
const maxRetryMs = 15 * 60_000
const untilReturn = {untilMs: Number.POSITIVE_INFINITY}

export const isRegistrationTask = ({agent_type}: Pick<StoredTask, 'agent_type'>) => agent_type === 'register_codebase'

/** Whether a registration failed because the worker does not have the path. Another worker may have it. */
export const isDeclinedRegistration = (
  task: StoredTask,
  status: FinalStatus,
  error: string | null | undefined,
): boolean => isRegistrationTask(task) && status === 'failed' && isPathDecline(error)

/** Treats the failure as a decline: offers the task to the next worker. It fails when all present workers declined. */
export function offerToNextWorker(parts: Parts, task: StoredTask, workerId: string, error: string): void {
  const {dispatch, commits} = parts
  const decliners = dispatch.backoffs.decliners(task.id).set(workerId, error)
  if (haveAllDeclined(parts, decliners)) return transitions.finish(parts, task, 'failed', {error})
  if (task.status === 'running') transitions.requeue(parts, task) // forgets the declines
  for (const [decliner, reason] of decliners) dispatch.decline(task.id, decliner, reason, untilReturn)
  commits.afterCommit(() => dispatch.offer(task.id))
}

/** Fails registrations that no present worker can take: the workers not asked yet may have left meanwhile. */
export function expireRegistrationTasks(parts: Parts): void {
  const {dispatch, store, commits} = parts
  for (const [taskId, decliners] of dispatch.backoffs.allDecliners()) {
    const error = [...decliners.values()].find(isPathDecline)
    if (error === undefined || !haveAllDeclined(parts, decliners)) continue
    const task = store.tasks.get(taskId)
    if (task?.status === 'pending') commits.write(() => transitions.finish(parts, task, 'failed', {error}))
  }
}

/** Records that the worker declines the task, and offers it to the next worker at once. */
export function declineTask(
  parts: Parts,
  task: StoredTask,
  workerId: string,
  {reason, retryMs}: {reason: string; retryMs: number | null},
): void {
  const {dispatch, commits} = parts
  const untilMs = retryMs === null ? {} : {untilMs: Math.min(retryMs, maxRetryMs)}
  if (isRegistrationTask(task) && isPathDecline(reason)) offerToNextWorker(parts, task, workerId, reason)
  else dispatch.decline(task.id, workerId, reason || 'no reason given', untilMs)
  commits.afterCommit(() => {
    dispatch.offer(task.id)
    dispatch.offerNextTask(task.codebase_id)
    dispatch.fillWorker(workerId)
  })
}

/** Adds the registered codebase to the task's metadata. The existing worker only names it in the result text. */
export function withCodebase({store}: Parts, task: StoredTask, workerId: string, outcome: Outcome): Outcome {
  const path = task.metadata['path']
  const idInText = /\bID: (\S+)/.exec(outcome.result ?? '')?.[1]
  const codebase =
    (typeof path === 'string' ? store.registry.codebaseAt(workerId, normalizePath(path)) : undefined) ??
    (idInText === undefined ? undefined : store.registry.codebase(idInText))
  if (codebase?.worker_id !== workerId) return outcome
  return {...outcome, metadata: {...task.metadata, codebase_id: codebase.id, worker_id: workerId}}
}

/** Whether all present workers (connected or polling) declined. False if none is present: one may still come. */
function haveAllDeclined({hub, store, leases}: Parts, decliners: ReadonlyMap<string, string>): boolean {
  const isPresent = (workerId: string) => hub.streamOf(workerId) || leases.silentMs(workerId) < presentMs
  const present = store.registry.workers({withModels: false}).filter(({worker_id}) => isPresent(worker_id))
  return present.length > 0 && present.every(({worker_id}) => isPathDecline(decliners.get(worker_id)))
}
