import type {Parts} from '../dispatch/parts.ts'
import type {StoredCodebase, StoredWorker} from '../store/store.ts'

/**
 * Whether the codebases of `former`, with their sessions and waiting tasks, pass to `heir`, a worker with another id.
 * Both must have the same worker's token, or none. And either they are on the same machine, or `former` is a worker
 * without leases (the existing one) of the same name and host: such a worker takes a new id at each start. A name and a
 * host alone prove nothing: two machines may both be called `raspberrypi`.
 */
export function mayInherit(heir: StoredWorker, former: StoredWorker): boolean {
  if (former.token !== heir.token) return false
  if (former.machine_id !== null && former.machine_id === heir.machine_id) return true
  return !hasLeases(former) && former.name === heir.name && former.hostname === heir.hostname
}

/** The codebase at this path of an inactive worker whose codebases pass to this one. */
export function inheritedCodebase(parts: Parts, workerId: string, path: string): StoredCodebase | undefined {
  const {registry} = parts.store
  const heir = registry.worker(workerId)
  if (!heir) return undefined
  return registry
    .relatedWorkers(heir)
    .filter((former) => mayInherit(heir, former) && isInactive(parts, former))
    .map((former) => registry.codebaseAt(former.worker_id, path))
    .find((codebase) => codebase !== undefined)
}

/** A worker without leases has ended when its stream has. Another one may live without a stream and poll. */
function isInactive({hub, leases, timings}: Parts, former: StoredWorker): boolean {
  if (hub.streamOf(former.worker_id)) return false
  if (former.unregistered_at !== null || !hasLeases(former)) return true
  return leases.silentMs(former.worker_id) >= timings.silentWorkerMs
}

/** Whether the worker's claims are leases. Not so for the existing worker. */
export const hasLeases = ({features}: StoredWorker) => features.includes('lease')
