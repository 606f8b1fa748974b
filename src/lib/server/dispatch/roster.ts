import {globalCodebase, pendingCodebase} from '../../protocol/routes.ts'
import type {Hub, TaskStream} from '../streams/hub.ts'
import type {Store, StoredCodebase} from '../store/store.ts'

/** What dispatch must know of a worker, without reading its list of models each time. */
type Profile = {
  name: string
  hostname: string | null
  slots: number
  /** Its claims are leases and its heartbeats say what it holds. The Python worker's do not. */
  hasLeases: boolean
  /** Reads the task itself, so a frame may leave the prompt out. */
  fetches: boolean
  hasGlobal: boolean
  capabilities: readonly string[]
}

/** A worker that does not say how much it takes at once takes this: the Python worker's fixed number. */
const defaultSlots = 2

/** Who serves what. Remembers profiles; `forget` when a worker or one of its codebases has changed. */
export class Roster {
  readonly #store: Store
  readonly #hub: Hub
  readonly #profiles = new Map<string, Profile>()

  constructor(store: Store, hub: Hub) {
    this.#store = store
    this.#hub = hub
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

  forget(workerId?: string): void {
    if (workerId === undefined) this.#profiles.clear()
    else this.#profiles.delete(workerId)
  }

  isKnown(workerId: string): boolean {
    return this.#store.registry.worker(workerId) !== undefined
  }

  /** The open streams that a task of this codebase may go to, best first as far as the codebase decides it. */
  streamsFor(codebaseId: string): TaskStream[] {
    const all = [...(isPseudo(codebaseId) ? this.#hub.streams() : [])]
    if (codebaseId === pendingCodebase) return all
    if (codebaseId === globalCodebase) {
      const withGlobal = all.filter(({workerId}) => this.profile(workerId).hasGlobal)
      return withGlobal.length > 0 ? withGlobal : all
    }

    const owner = this.#store.registry.codebase(codebaseId)?.worker_id
    const ownStream = owner === undefined ? undefined : this.#hub.streamOf(owner)
    return [...new Set([...(ownStream ? [ownStream] : []), ...this.#hub.streamsFor(codebaseId)])]
  }

  /** May this worker take tasks of this codebase, connected or not? */
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

  /** Every codebase whose tasks this worker may take: its own, those that its stream names, the pseudo-codebases. */
  codebasesOf(workerId: string): Set<string> {
    const ids = new Set(this.#hub.streamOf(workerId)?.codebases)
    for (const {id} of this.#store.registry.codebasesOf(workerId)) ids.add(id)
    ids.add(pendingCodebase)
    ids.delete(globalCodebase)
    return this.serves(workerId, globalCodebase) ? ids.add(globalCodebase) : ids
  }

  /** What a task of this codebase keeps busy: two of one tree never run at once. */
  treeOf(codebaseId: string): string | undefined {
    const codebase = isPseudo(codebaseId) ? undefined : this.#store.registry.codebase(codebaseId)
    return codebase && treeKey(codebase)
  }
}

/** A codebase that no worker registers: its tasks may go to several. */
export const isPseudo = (codebaseId: string) => codebaseId === globalCodebase || codebaseId === pendingCodebase
const treeKey = ({worker_id, tree, path}: StoredCodebase) => `${worker_id}\n${tree ?? path}`
