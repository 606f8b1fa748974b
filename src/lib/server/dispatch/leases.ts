import type {Clock} from '../../core/clock.ts'
import type {AgentState} from '../../protocol/agent-state.ts'

/** The lease of a running task. */
export type Lease = {
  readonly taskId: string
  readonly attempt: number
  readonly workerId: string
  /** Key of the working tree that the task occupies. None for tasks without a codebase. */
  readonly tree: string | undefined
  /** When it was claimed, on the counter that sync points use too. */
  readonly claimedAt: number
  /** When it expires, in monotonic ms. */
  until: number
  isLost: boolean
  /**
   * Since when its holder may have missed reporting its end, in monotonic ms: this process was down, or the worker's
   * stream was replaced, after its last sign. Undefined: a report could not have been missed.
   */
  doubtfulSince?: number | undefined
  /** When a requested cancellation counts without the holder's confirmation, in monotonic ms. */
  cancelledAt?: number | undefined
  /** Why its agent waits, for people. */
  waiting?: string | undefined
  /** What its agent does, since this monotonic time. */
  state?: {state: AgentState['state']; what: string; since: number} | undefined
}

type Presence = {
  lastContact: number
  /** The network address that it registered from. */
  address: string | undefined
  syncedAt: number | undefined
  capacity: number | undefined
  pauseReason: string | null
}

/**
 * The leases of all running tasks, on this process's monotonic clock. They are kept in memory: after a restart each
 * lease starts again, because no worker could renew it meanwhile.
 */
export class Leases {
  readonly #clock: Clock
  readonly #leaseMs: number
  readonly #leases = new Map<string, Lease>()
  readonly #byWorker = new Map<string, Set<Lease>>()
  readonly #byTree = new Map<string, Set<Lease>>()
  readonly #presence = new Map<string, Presence>()
  readonly #startedAt: number
  #tick = 0

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock
    this.#leaseMs = leaseMs
    this.#startedAt = clock.monotonic()
  }

  grant(run: Pick<Lease, 'taskId' | 'attempt' | 'workerId' | 'tree'>, isLost = false): Lease {
    const until = this.#clock.monotonic() + this.#leaseMs
    const lease: Lease = {...run, claimedAt: (this.#tick += 1), until, isLost}
    this.release(run.taskId)
    this.#leases.set(run.taskId, lease)
    this.#byWorker.set(run.workerId, (this.#byWorker.get(run.workerId) ?? new Set()).add(lease))
    if (run.tree) this.#byTree.set(run.tree, (this.#byTree.get(run.tree) ?? new Set()).add(lease))
    this.recordContact(run.workerId)
    return lease
  }

  release(taskId: string): void {
    const lease = this.#leases.get(taskId)
    if (!lease) return
    this.#leases.delete(taskId)
    const others = this.#byWorker.get(lease.workerId)
    others?.delete(lease)
    if (others?.size === 0) this.#byWorker.delete(lease.workerId)
    const onTree = lease.tree === undefined ? undefined : this.#byTree.get(lease.tree)
    onTree?.delete(lease)
    if (lease.tree !== undefined && onTree?.size === 0) this.#byTree.delete(lease.tree)
  }

  get(taskId: string): Lease | undefined {
    return this.#leases.get(taskId)
  }

  heldBy(workerId: string): ReadonlySet<Lease> {
    return this.#byWorker.get(workerId) ?? new Set()
  }

  onTree(tree: string): ReadonlySet<Lease> {
    return this.#byTree.get(tree) ?? new Set()
  }

  all(): Iterable<Lease> {
    return this.#leases.values()
  }

  renew(lease: Lease): void {
    lease.until = this.#clock.monotonic() + this.#leaseMs
    lease.isLost = false
    lease.doubtfulSince = undefined
    this.recordContact(lease.workerId)
  }

  /** The worker may have missed reporting the end of what it holds. A lease that is renewed is no longer in doubt. */
  doubt(leases: Iterable<Lease>): void {
    for (const lease of leases) lease.doubtfulSince ??= this.#clock.monotonic()
  }

  /** Called for any request that names the worker. */
  recordContact(workerId: string): void {
    this.#of(workerId).lastContact = this.#clock.monotonic()
  }

  recordAddress(workerId: string, address: string | undefined): void {
    this.#of(workerId).address = address
  }

  /** The network address that the worker registered from, to this process. */
  addressOf(workerId: string): string | undefined {
    return this.#presence.get(workerId)?.address
  }

  /** How long a worker has made no request. For an unknown worker: since the start of this process. */
  silentMs(workerId: string): number {
    return this.#clock.monotonic() - (this.#presence.get(workerId)?.lastContact ?? this.#startedAt)
  }

  /**
   * Sets a sync point for a list of active tasks that a worker has sent. Returns the leases that such a list must
   * contain: those claimed before the previous sync point. A worker lists a task before it claims it, and sends its
   * heartbeats one after the other. A list that arrives now was therefore written after the previous sync point. For
   * later claims it proves nothing, because it may be older than they are.
   */
  sync(workerId: string): Lease[] {
    const presence = this.#of(workerId)
    const previous = presence.syncedAt
    presence.syncedAt = this.#tick += 1
    this.recordContact(workerId)
    return previous === undefined ? [] : [...this.heldBy(workerId)].filter(({claimedAt}) => claimedAt < previous)
  }

  /** How many tasks the worker can run at present. May be less than it registered with, for this reason. */
  setCapacity(workerId: string, capacity: number | undefined, pauseReason: string | null = null): void {
    const presence = this.#of(workerId)
    presence.capacity = capacity
    presence.pauseReason = pauseReason
  }

  /** Why the worker takes no tasks now, for people. */
  pauseReasonOf(workerId: string): string | null {
    return this.#presence.get(workerId)?.pauseReason ?? null
  }

  capacityOf(workerId: string): number {
    return this.#presence.get(workerId)?.capacity ?? Number.POSITIVE_INFINITY
  }

  forget(workerId: string): void {
    this.#presence.delete(workerId)
  }

  #of(workerId: string): Presence {
    const known = this.#presence.get(workerId)
    if (known) return known
    const created = {
      lastContact: this.#clock.monotonic(),
      address: undefined,
      syncedAt: undefined,
      capacity: undefined,
      pauseReason: null,
    }
    this.#presence.set(workerId, created)
    return created
  }
}
