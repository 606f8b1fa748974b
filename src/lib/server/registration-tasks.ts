import type {FinalStatus} from '../protocol/schemas.ts'
import type {Parts} from './parts.ts'
import type {StoredTask} from './store.ts'
import * as moves from './task-moves.ts'

/** How a worker says that a path is not on its machine; the existing worker fails the task with these words. */
const pathMissing = 'Path does not exist on this worker'
/** A worker that polls is there if it was heard of this recently. */
const presentMs = 45_000

/** Is this the failure of a registration that another worker may well succeed with? */
export const missesPath = (task: StoredTask, status: FinalStatus, error: string | null | undefined): boolean =>
  task.agent_type === 'register_codebase' && status === 'failed' && (error?.startsWith(pathMissing) ?? false)

/** Counts as a decline: the next worker is asked, and the task fails only when all that are connected declined. */
export function passRegistrationOn(parts: Parts, task: StoredTask, workerId: string, error: string): void {
  const decliners = parts.dispatch.holdoffs.decliners(task.id).set(workerId, error)
  if (hasAllOf(parts, decliners)) return moves.finish(parts, task, 'failed', {error})
  if (task.status === 'running') moves.requeue(parts, task)
  for (const [decliner, reason] of decliners) parts.dispatch.decline(task.id, decliner, reason)
  parts.commits.afterCommit(() => parts.dispatch.offer(task.id))
}

/** The worker will not take the task; whoever is next is asked at once. */
export function declineTask(parts: Parts, task: StoredTask, workerId: string, reason: string): void {
  const {dispatch, commits} = parts
  if (task.agent_type === 'register_codebase' && reason.startsWith(pathMissing))
    passRegistrationOn(parts, task, workerId, reason)
  else dispatch.decline(task.id, workerId, reason || 'no reason given')
  commits.afterCommit(() => {
    dispatch.offer(task.id)
    dispatch.offerNextOf(task.codebase_id)
    dispatch.fill(workerId)
  })
}

/** Have all workers declined that are there now, with a stream or polling? */
function hasAllOf({hub, store, leases}: Parts, decliners: ReadonlyMap<string, string>): boolean {
  const isThere = (workerId: string) => hub.streamOf(workerId) || leases.silence(workerId) < presentMs
  return store.registry
    .workers()
    .filter(({worker_id}) => isThere(worker_id))
    .every(({worker_id}) => decliners.get(worker_id)?.startsWith(pathMissing))
}
