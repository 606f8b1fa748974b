import type {Decision} from '../state/decision.ts'
import type {State} from '../state/state.ts'
import type {Views} from './views.ts'

/** What a rule has read has changed since: it must decide again. */
export class StaleDecisionError extends Error {
  constructor() {
    super('the state has changed since the decision')
    this.name = 'StaleDecisionError'
  }
}

/**
 * Keeps the state of a control plane. It knows no rules: it shows the state, and applies decisions of rules. What it
 * applies is seen by the next reader at once. It is acknowledged once it is durable.
 */
export interface Engine {
  readonly state: State
  /** What routes read besides: lists, pages, output, sessions. */
  readonly views: Views
  /** The next number of a task. Numbers grow; some may never be used. */
  nextNumber(): number
  /** Applies all changes of a decision, or none. Throws StaleDecisionError if a precondition no longer holds. */
  apply(decision: Decision): void
  /** Calls `then` once all that was applied so far is on disk. Not called if that fails. */
  afterCommit(then: () => void): void
  /** Resolves when all that was applied so far is on disk. Rejects if it could not be written. */
  durable(): Promise<void>
}
