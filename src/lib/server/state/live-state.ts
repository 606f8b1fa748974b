import type {Clock} from '../../core/clock.ts'
import type {Change} from './decision.ts'
import {Memory} from './memory.ts'
import {Queues} from './queues.ts'
import type {Found, IndexName, Kind, PendingTask, Records, StoredInput, StoredRequest, StoredTask} from './records.ts'
import type {Policy, State} from './state.ts'

/** Where a live state reads what is too large for memory: whole tasks, requests with an Idempotency-Key, and inputs. */
export interface Disk {
  task(id: string): StoredTask | undefined
  request(key: string): StoredRequest | undefined
  input(key: string): StoredInput | undefined
  /** The task is this now. Undefined: it is gone. */
  onChange?(id: string, task: StoredTask | undefined): void
  /** What was on disk may be different now. */
  clear?(): void
}

/** The kinds of records that are read from disk each time. */
const onDisk = ['request', 'input'] as const
type OnDisk = (typeof onDisk)[number]
const isOnDisk = (kind: Kind): kind is OnDisk => onDisk.some((known) => known === kind)

/** The present state: all but tasks, repeated requests and inputs is in memory, and the queues of tasks are. */
export class LiveState implements State {
  readonly policy: Policy
  readonly startedAt: number
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>
  readonly #disk: Disk
  readonly #memory = new Memory()
  readonly #queues = new Queues()
  readonly #waiting = new Map<string, PendingTask>()
  #lastNumber = 0

  constructor(policy: Policy, clock: Pick<Clock, 'now' | 'monotonic'>, disk: Disk) {
    this.policy = policy
    this.#clock = clock
    this.startedAt = clock.monotonic()
    this.#disk = disk
  }

  get now(): number {
    return this.#clock.now()
  }

  get time(): number {
    return this.#clock.monotonic()
  }

  get lastNumber(): number {
    return this.#lastNumber
  }

  get<K extends Kind>(kind: K, id: string): Records[K] | undefined {
    if (kind === 'task') return this.#disk.task(id) as Records[K] | undefined
    return isOnDisk(kind) ? (this.#disk[kind](id) as Records[K] | undefined) : this.#memory.get(kind, id)
  }

  find<I extends IndexName>(index: I, key: string): Iterable<Found<I>> {
    return this.#memory.find(index, key)
  }

  count(index: IndexName, key: string): number {
    return this.#memory.count(index, key)
  }

  queue(codebaseId: string): readonly PendingTask[] {
    return this.#queues.of(codebaseId)
  }

  hasQueue(codebaseId: string): boolean {
    return this.#queues.of(codebaseId).length > 0
  }

  get pending(): number {
    return this.#queues.size
  }

  /** Applies the changes of records. Others are the engine's. */
  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      if (!('kind' in change)) continue
      const {kind, id} = change
      if (kind === 'task') this.#requeue(id, change.do === 'remove' ? undefined : (change.record as StoredTask))
      else if (kind === 'request' || kind === 'input') continue
      else if (change.do === 'remove') this.#memory.remove(kind, id)
      else this.#memory.put(kind, id, change.record)
    }
  }

  /** Returns the function that takes these changes back. To be called before they are applied. */
  undoOf(changes: readonly Change[]): () => void {
    const lastNumber = this.#lastNumber
    const former = new Map<string, {kind: Kind; id: string; record: Records[Kind] | undefined}>()
    for (const change of changes) {
      if (!('kind' in change) || isOnDisk(change.kind)) continue
      const {kind, id} = change
      const key = `${kind} ${id}`
      if (!former.has(key)) former.set(key, {kind, id, record: this.get(kind, id)})
    }
    return () => {
      for (const {kind, id, record} of former.values()) {
        if (kind === 'task') this.#requeue(id, record as StoredTask | undefined)
        else if (record === undefined) this.#memory.remove(kind, id)
        else this.#memory.put(kind, id, record as Records[typeof kind])
      }
      this.#lastNumber = lastNumber
    }
  }

  /** All records of a kind that is in memory, by id. */
  all<K extends Exclude<Kind, 'task' | OnDisk>>(kind: K): Iterable<[id: string, record: Records[K]]> {
    return this.#memory.all(kind)
  }

  /** Adds a record that was there before, when the state is restored. */
  restore<K extends Exclude<Kind, 'task'>>(kind: K, id: string, record: Records[K]): void {
    this.#memory.put(kind, id, record)
  }

  /** There were tasks up to this number. */
  restoreNumber(n: number): void {
    this.#lastNumber = Math.max(this.#lastNumber, n)
  }

  restoreQueue(tasks: Iterable<PendingTask>): void {
    this.#queues.clear()
    this.#waiting.clear()
    for (const task of tasks) this.#enqueue(task)
  }

  /** Forgets all records of these kinds, so that they can be restored. */
  clear(kinds: readonly Kind[]): void {
    for (const kind of kinds) this.#memory.clear(kind)
    this.#disk.clear?.()
  }

  #requeue(id: string, task: StoredTask | undefined): void {
    const known = this.#waiting.get(id)
    this.#disk.onChange?.(id, task)
    if (task) this.restoreNumber(task.n)
    const isWaiting = task?.status === 'pending'
    if (known && isWaiting && known.priority === task.priority) return
    if (known) {
      this.#queues.remove(known)
      this.#waiting.delete(id)
    }
    if (isWaiting) this.#enqueue(task)
  }

  /** Keeps what dispatch needs only: a prompt may be long. */
  #enqueue({n, id, codebase_id, priority, frame_size, required}: PendingTask): void {
    const entry = {n, id, codebase_id, priority, frame_size, required}
    this.#queues.add(entry)
    this.#waiting.set(id, entry)
  }
}
