import type {Clock} from '../../core/clock.ts'

/** A running task in its holder's hands. */
export type Held = {
  readonly taskId: string
  readonly attempt: number
  readonly workerId: string
  /** The working tree that it keeps busy; none for tasks that are tied to no codebase. */
  readonly tree: string | undefined
  /** When it was claimed, on the same counter as sync points. */
  readonly claimedAt: number
  /** On the monotonic clock. */
  until: number
  isLost: boolean
}

type Presence = {lastSign: number; syncedAt: number | undefined; capacity: number | undefined}

/**
 * What is held by whom, and until when, on this process's monotonic clock only. It lives in memory: after a restart
 * of the plane each lease begins afresh, since the workers could not renew them meanwhile.
 */
export class Leases {
  readonly #clock: Clock
  readonly #leaseMs: number
  readonly #held = new Map<string, Held>()
  readonly #byWorker = new Map<string, Set<Held>>()
  readonly #byTree = new Map<string, Held>()
  readonly #presence = new Map<string, Presence>()
  readonly #startedAt: number
  #tick = 0

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock
    this.#leaseMs = leaseMs
    this.#startedAt = clock.monotonic()
  }

  hold(run: Pick<Held, 'taskId' | 'attempt' | 'workerId' | 'tree'>, isLost = false): Held {
    const until = this.#clock.monotonic() + this.#leaseMs
    const held: Held = {...run, claimedAt: (this.#tick += 1), until, isLost}
    this.drop(run.taskId)
    this.#held.set(run.taskId, held)
    this.#byWorker.set(run.workerId, (this.#byWorker.get(run.workerId) ?? new Set()).add(held))
    if (run.tree) this.#byTree.set(run.tree, held)
    this.sign(run.workerId)
    return held
  }

  drop(taskId: string): void {
    const held = this.#held.get(taskId)
    if (!held) return
    this.#held.delete(taskId)
    const others = this.#byWorker.get(held.workerId)
    others?.delete(held)
    if (others?.size === 0) this.#byWorker.delete(held.workerId)
    if (held.tree && this.#byTree.get(held.tree) === held) this.#byTree.delete(held.tree)
  }

  get(taskId: string): Held | undefined {
    return this.#held.get(taskId)
  }

  heldBy(workerId: string): ReadonlySet<Held> {
    return this.#byWorker.get(workerId) ?? new Set()
  }

  holderOfTree(tree: string): Held | undefined {
    return this.#byTree.get(tree)
  }

  all(): Iterable<Held> {
    return this.#held.values()
  }

  renew(held: Held): void {
    held.until = this.#clock.monotonic() + this.#leaseMs
    held.isLost = false
    this.sign(held.workerId)
  }

  /** Any request that names the worker is a sign of life. */
  sign(workerId: string): void {
    this.#of(workerId).lastSign = this.#clock.monotonic()
  }

  /** How long a worker has been silent; from the start of this plane, for one that it has not heard of yet. */
  silence(workerId: string): number {
    return this.#clock.monotonic() - (this.#presence.get(workerId)?.lastSign ?? this.#startedAt)
  }

  /**
   * Notes that the worker's list of what it holds was, or could have been, written after now. Returns the tasks that
   * were claimed before the sync point before this one. A worker lists a task before it claims it, and sends one
   * heartbeat after the other, so a list that arrives now was written after the previous sync point: what of those
   * tasks is not on it is not held. A later claim proves nothing, the list may be older than it.
   */
  sync(workerId: string): Held[] {
    const presence = this.#of(workerId)
    const previous = presence.syncedAt
    presence.syncedAt = this.#tick += 1
    this.sign(workerId)
    return previous === undefined ? [] : [...this.heldBy(workerId)].filter(({claimedAt}) => claimedAt < previous)
  }

  /** What the worker says that it can hold in all, now; it may be less than it registered with. */
  setCapacity(workerId: string, capacity: number | undefined): void {
    this.#of(workerId).capacity = capacity
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
    const fresh = {lastSign: this.#clock.monotonic(), syncedAt: undefined, capacity: undefined}
    this.#presence.set(workerId, fresh)
    return fresh
  }
}
