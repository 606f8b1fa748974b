import type {Found, IndexName, Kind, PendingTask, Records} from './records.ts'

/** Limits and durations (in ms) that rules apply. */
export type Policy = {
  leaseMs: number
  /** An offer that is not claimed in this time goes to another worker. */
  offerMs: number
  /** An assignment that is not confirmed in this time lapses. */
  confirmMs: number
  silentWorkerMs: number
  lostTimeoutMs: number
  unstoppableMs: number
  /** How many tasks may wait at once. */
  maxPending: number
  /** How many tasks may run at once in a working tree, by the codebase's id, name or path, or `*` for all others. */
  parallelTasks: ReadonlyMap<string, number>
}

/**
 * What rules and views read: records by id, records by index, and the queues. A record never changes: a new one takes
 * its place.
 */
export interface State {
  /** The time of the wire, in ms since 1970. */
  readonly now: number
  /** The lease clock, in ms. It never goes back. */
  readonly time: number
  /** When the control plane started, on the lease clock. */
  readonly startedAt: number
  readonly policy: Policy
  get<K extends Kind>(kind: K, id: string): Readonly<Records[K]> | undefined
  find<I extends IndexName>(index: I, key: string): Iterable<Readonly<Found<I>>>
  /** How many records `find` would return. */
  count(index: IndexName, key: string): number
  /** The pending tasks of a codebase: highest priority first, then oldest. */
  queue(codebaseId: string): Iterable<PendingTask>
  hasQueue(codebaseId: string): boolean
  /** How many tasks are pending in all codebases. */
  readonly pending: number
  /** The number of the newest task. */
  readonly lastNumber: number
}
