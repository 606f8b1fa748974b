import {globalCodebase, pendingCodebase} from '../../protocol/routes.ts'
import type {ParallelTasks} from './parallel-tasks.ts'
import type {Hub, TaskStream} from '../streams/hub.ts'
import type {Store, StoredCodebase} from '../store/store.ts'

/** What dispatch needs to know about a worker, cached: reading a worker includes its list of models. */
type Profile = {
  name: string
  hostname: string | null
  slots: number
  /** Its claims are leases and its heartbeats list active tasks. Not so for the Python worker. */
  hasLeases: boolean
  /** It reads the task itself, so a frame may omit the prompt. */
  fetches: boolean
  hasGlobal: boolean
  capabilities: readonly string[]
}

/** Slots of a worker that does not register a number: the Python worker's fixed number. */
const defaultSlots = 2

/** Knows which worker serves which codebase. Call `invalidate` when a worker or one of its codebases has changed. */
export class Roster {
  readonly #store: Store
  readonly #hub: Hub
  readonly #parallelTasks: ParallelTasks
  readonly #profiles = new Map<string, Profile>()

  constructor(store: Store, hub: Hub, parallelTasks: ParallelTasks) {
    this.#store = store
    this.#hub = hub
    this.#parallelTasks = parallelTasks
  }

  profile(workerId: string): Profile {
    const known = this.#profiles.get(workerId)
    if (known) return known
    const worker = this.#store.registry.worker(workerId)
    const profile = {
      name: worker?.name ?? workerId,
      hostname: worker?.hostname ?? null,
      slots: worker?.max_concurrent_tasks ?? defaultSlots,
      hasLeases: worker?.features.includes('lease') ?? false,
      fetches: worker?.features.includes('fetch') ?? false,
      hasGlobal:
        Boolean(worker?.global_codebase_id) ||
        this.#store.registry.codebasesOf(workerId).some(({name}) => name === globalCodebase),
      capabilities: worker?.capabilities ?? [],
    }
    if (worker) this.#profiles.set(workerId, profile)
    return profile
  }

  invalidate(workerId?: string): void {
    if (workerId === undefined) this.#profiles.clear()
    else this.#profiles.delete(workerId)
  }

  isKnown(workerId: string): boolean {
    return this.#store.registry.worker(workerId) !== undefined
  }

  /** The open streams that a task of this codebase may be offered to, its owner's first. */
  streamsFor(codebaseId: string): TaskStream[] {
    const all = [...(isPseudoCodebase(codebaseId) ? this.#hub.streams() : [])]
    if (codebaseId === pendingCodebase) return all
    if (codebaseId === globalCodebase) {
      const withGlobal = all.filter(({workerId}) => this.profile(workerId).hasGlobal)
      return withGlobal.length > 0 ? withGlobal : all
    }

    const owner = this.#store.registry.codebase(codebaseId)?.worker_id
    const ownStream = owner === undefined ? undefined : this.#hub.streamOf(owner)
    return [...new Set([...(ownStream ? [ownStream] : []), ...this.#hub.streamsFor(codebaseId)])]
  }

  /** Whether this worker may take tasks of this codebase, connected or not. */
  serves(workerId: string, codebaseId: string): boolean {
    if (codebaseId === pendingCodebase) return true
    if (codebaseId === globalCodebase)
      return (
        this.profile(workerId).hasGlobal ||
        ![...this.#hub.streams()].some((stream) => this.profile(stream.workerId).hasGlobal)
      )
    return (
      this.#store.registry.codebase(codebaseId)?.worker_id === workerId ||
      (this.#hub.streamOf(workerId)?.codebases.has(codebaseId) ?? false)
    )
  }

  /** All codebases whose tasks this worker may take: its own, those its stream names, and the pseudo-codebases. */
  codebasesOf(workerId: string): Set<string> {
    const ids = new Set(this.#hub.streamOf(workerId)?.codebases)
    for (const {id} of this.#store.registry.codebasesOf(workerId)) ids.add(id)
    ids.add(pendingCodebase)
    ids.delete(globalCodebase)
    return this.serves(workerId, globalCodebase) ? ids.add(globalCodebase) : ids
  }

  /**
   * How many tasks may run in the codebase's working tree at once: one, unless the control plane was told otherwise. Our
   * worker locks a tree for one task, so that applies to others only.
   */
  tasksPerTree(codebaseId: string): number {
    const codebase = this.#store.registry.codebase(codebaseId)
    if (!codebase || this.profile(codebase.worker_id).hasLeases) return 1
    const {id, name, path} = codebase
    const limit = [id, name, path, '*'].map((key) => this.#parallelTasks.get(key)).find((n) => n !== undefined)
    return limit ?? 1
  }

  /** Key of the codebase's working tree. */
  treeOf(codebaseId: string): string | undefined {
    const codebase = isPseudoCodebase(codebaseId) ? undefined : this.#store.registry.codebase(codebaseId)
    return codebase && treeKey(codebase)
  }
}

/** Whether a codebase is registered by no worker, so that several workers may take its tasks. */
export const isPseudoCodebase = (codebaseId: string) => codebaseId === globalCodebase || codebaseId === pendingCodebase
const treeKey = ({worker_id, tree, path}: StoredCodebase) => `${worker_id}\n${tree ?? path}`
