import {lacksPath} from '../../protocol/declines.ts'
import type {FinalStatus} from '../../protocol/schemas.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'
import * as moves from './transitions.ts'
import type {Outcome} from './transitions.ts'
import {tidyPath} from '../store/normalize-path.ts'

/** A worker that polls is there if it was heard of this recently. */
const presentMs = 45_000
/** Who lacks a path is not asked for it again before it connects or registers anew. */
const forGood = {untilMs: Number.POSITIVE_INFINITY}

export const isRegistration = ({agent_type}: Pick<StoredTask, 'agent_type'>) => agent_type === 'register_codebase'

/** Is this the failure of a registration that another worker may well succeed with? */
export const missesPath = (task: StoredTask, status: FinalStatus, error: string | null | undefined): boolean =>
  isRegistration(task) && status === 'failed' && lacksPath(error)

/** Counts as a decline: the next worker is asked, and the task fails only when all that are there declined. */
export function passRegistrationOn(parts: Parts, task: StoredTask, workerId: string, error: string): void {
  const {dispatch, commits} = parts
  const decliners = dispatch.holdoffs.decliners(task.id).set(workerId, error)
  if (hasAllOf(parts, decliners)) return moves.finish(parts, task, 'failed', {error})
  if (task.status === 'running') moves.requeue(parts, task) // forgets who declined
  for (const [decliner, reason] of decliners) dispatch.decline(task.id, decliner, reason, forGood)
  commits.afterCommit(() => dispatch.offer(task.id))
}

/** Workers that have not been asked yet may have left meanwhile: then there is nobody left to ask. */
export function endRegistrations(parts: Parts): void {
  const {dispatch, store, commits} = parts
  for (const [taskId, decliners] of dispatch.holdoffs.allDecliners()) {
    const error = [...decliners.values()].find(lacksPath)
    if (error === undefined || !hasAllOf(parts, decliners)) continue
    const task = store.tasks.get(taskId)
    if (task?.status === 'pending') commits.write(() => moves.finish(parts, task, 'failed', {error}))
  }
}

/** The worker will not take the task; whoever is next is asked at once. */
export function declineTask(parts: Parts, task: StoredTask, workerId: string, reason: string): void {
  const {dispatch, commits} = parts
  if (isRegistration(task) && lacksPath(reason)) passRegistrationOn(parts, task, workerId, reason)
  else dispatch.decline(task.id, workerId, reason || 'no reason given')
  commits.afterCommit(() => {
    dispatch.offer(task.id)
    dispatch.offerNextOf(task.codebase_id)
    dispatch.fill(workerId)
  })
}

/** What a finished registration has led to, in the task's metadata: the existing worker says it in words only. */
export function withCodebase({store}: Parts, task: StoredTask, workerId: string, outcome: Outcome): Outcome {
  const path = task.metadata['path']
  const inWords = /\bID: (\S+)/.exec(outcome.result ?? '')?.[1]
  const codebase =
    (typeof path === 'string' ? store.registry.codebaseAt(workerId, tidyPath(path)) : undefined) ??
    (inWords === undefined ? undefined : store.registry.codebase(inWords))
  if (codebase?.worker_id !== workerId) return outcome
  return {...outcome, metadata: {...task.metadata, codebase_id: codebase.id, worker_id: workerId}}
}

/** Have all workers declined that are there now, with a stream or polling? Nobody there: somebody may come. */
function hasAllOf({hub, store, leases}: Parts, decliners: ReadonlyMap<string, string>): boolean {
  const isThere = (workerId: string) => hub.streamOf(workerId) || leases.silence(workerId) < presentMs
  const there = store.registry.workers({withModels: false}).filter(({worker_id}) => isThere(worker_id))
  return there.length > 0 && there.every(({worker_id}) => lacksPath(decliners.get(worker_id)))
}
