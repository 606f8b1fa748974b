import type {Change, Decision} from '../state/decision.ts'
import type {StateEvent} from '../state/events.ts'
import type {State} from '../state/state.ts'
import type {Maintenance} from './maintenance.ts'
import type {Views} from './views.ts'

/** Makes a decision about the present state, and makes room for it. Throws what its rule throws. */
export type Step<Answer> = (maintenance: Maintenance) => Decision<Answer>

/** Numbers grow, with gaps. `isOwn`: this process has made the decision. */
export type EventPlace = {n: number; at: number; isOwn: boolean}

/** What an engine tells of decisions, also of those that were made elsewhere. */
export type EngineListener = {
  /** The state has changed. */
  onChanges(changes: readonly Change[]): void
  /**
   * Called for each event of a decision once that is on disk. An event that throws keeps no other back. `place`: its number
   * and time (Unix ms), where several processes tell of the same events.
   */
  perform(event: StateEvent, place?: EventPlace): void
}

/** What a control plane remembers of events. One that joins others gets it from them. */
export type History = {
  save(): string
  /** Replaces what is remembered by what was saved. */
  restore(saved: string): void
  /** Adds an event from before the control plane was complete. */
  add(event: StateEvent, place: EventPlace): void
}

/**
 * Keeps the state of a control plane. It knows no rules: it shows the state, and applies decisions of rules. They are
 * acknowledged once they are durable.
 */
export interface Engine {
  readonly state: State
  /** What routes read besides: lists, pages, output, sessions. */
  readonly views: Views
  /** Why nothing can be decided now, for people. */
  readonly problem: string | undefined
  /** Until then nothing expires, on the lease clock: workers may have been unable to renew their leases. */
  readonly calmUntil: number
  /** Begins to tell of decisions. */
  attach(listener: EngineListener): void
  /**
   * Makes a decision and applies all of its changes, or none. Resolves when the state shows them; show them to others
   * only once they are `durable`. Rejects with what the step throws. A step may be made again, if the state has changed
   * meanwhile.
   */
  execute<Answer>(step: Step<Answer>): Promise<Answer>
  /** Removes what is old. */
  maintain<Result>(work: (maintenance: Maintenance) => Result): Promise<Result>
  /** Resolves when the state shows all that was acknowledged before, by any process. */
  fresh(): Promise<void>
  /** Resolves when all that was applied so far is on disk. Rejects if it could not be written. */
  durable(): Promise<void>
}
