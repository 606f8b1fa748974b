import {pair, type StoredCodebase, type StoredTask, type StoredWorker} from '../../state/records.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import type {State} from '../../state/state.ts'
import {closeStream, silentMs} from '../dispatch/contact.ts'
import {codebaseAt, hasLeases} from '../dispatch/roster.ts'
import {requeue} from '../tasks/task-life.ts'

type Worker = Readonly<StoredWorker>

/**
 * Whether the codebases of `former`, with their sessions and waiting tasks, pass to `heir`, a worker with another id.
 * Both must have the same worker's token, or none. And either they are on the same machine, or `former` is a worker
 * without leases (the existing one) of the same name and host: such a worker takes a new id at each start. A name and a
 * host alone prove nothing: two machines may both be called `raspberrypi`.
 */
function mayInherit(heir: Worker, former: Worker): boolean {
  if (former.token !== heir.token) return false
  if (former.machine_id !== null && former.machine_id === heir.machine_id) return true
  return !hasLeases(former) && former.name === heir.name && former.hostname === heir.hostname
}

/** Other workers of the same machine, or with the same name and host: perhaps earlier processes of this one. Newest first. */
function relatedWorkers(state: State, {worker_id, machine_id, name, hostname}: Worker): Worker[] {
  const found = new Map<string, Worker>()
  const onMachine = machine_id === null ? [] : state.find('workersOnMachine', machine_id)
  for (const worker of onMachine) found.set(worker.worker_id, worker)
  for (const worker of state.find('workersNamed', pair(name, hostname ?? ''))) found.set(worker.worker_id, worker)
  found.delete(worker_id)
  const seenAt = (worker: Worker) => state.get('presence', worker.worker_id)?.lastSeen ?? Date.parse(worker.last_seen)
  return [...found.values()].toSorted((a, b) => seenAt(b) - seenAt(a))
}

/** The codebase at this path of an inactive worker whose codebases pass to this one. */
export function inheritedCodebase(state: State, workerId: string, path: string): StoredCodebase | undefined {
  const heir = state.get('worker', workerId)
  if (!heir) return undefined
  return relatedWorkers(state, heir)
    .filter((former) => mayInherit(heir, former) && isInactive(state, former))
    .map((former) => codebaseAt(state, former.worker_id, path))
    .find((codebase) => codebase !== undefined)
}

/** A worker without leases has ended when its stream has. Another one may live without a stream and poll. */
function isInactive(state: State, former: Worker): boolean {
  if (state.get('connection', former.worker_id)) return false
  if (former.unregistered_at !== null || !hasLeases(former)) return true
  return silentMs(state, former.worker_id) >= state.policy.silentWorkerMs
}

/**
 * The process of a worker without leases has just started: what it held before has ended without a report, and so has
 * what it held under an earlier id. Only a process that has just started asks for API keys, or registers the codebase
 * `global` although it is registered; everything else it repeats each minute. A worker with leases tells by its
 * heartbeats what it runs.
 */
export const recordStart: Rule<{worker_id: string}, void> = (draft, {worker_id: workerId}) => {
  const worker = draft.get('worker', workerId)
  if (!worker || hasLeases(worker)) return
  closeStream(draft, workerId) // it belongs to the earlier process
  requeueWhere(draft, workerId, () => true)
  for (const former of relatedWorkers(draft, worker))
    if (mayInherit(worker, former) && hasEnded(draft, former)) requeueWhere(draft, former.worker_id, () => true)
}

/** A worker without leases has ended when its stream has. */
const hasEnded = (state: State, worker: Worker) => !hasLeases(worker) && !state.get('connection', worker.worker_id)

/** Requeues the tasks of a worker that no process of it runs any more. Returns how many there were. */
export function requeueWhere(
  draft: Draft,
  workerId: string,
  isConcerned: (task: Readonly<StoredTask>) => boolean,
): number {
  const tasks = [...draft.find('leasesOf', workerId)]
    .flatMap(({taskId}) => draft.get('task', taskId) ?? [])
    .filter(isConcerned)
    .toSorted((a, b) => b.priority - a.priority || a.n - b.n)
  for (const task of tasks) requeue(draft, task)
  return tasks.length
}
