import type {Clock} from '../../core/clock.ts'
import type {Change} from '../state/decision.ts'
import type {Engine} from '../store/engine.ts'
import {dueAfter, nextDue} from '../rules/dispatch/due.ts'

/** Wakes up when something is due, and not before: an idle control plane sleeps. */
export class DueTimer {
  readonly #clock: Clock
  readonly #engine: Pick<Engine, 'state' | 'calmUntil'>
  readonly #onDue: () => void
  #at = Number.POSITIVE_INFINITY
  #stop = new AbortController()
  #isStopped = false

  constructor(clock: Clock, engine: Pick<Engine, 'state' | 'calmUntil'>, onDue: () => void) {
    this.#clock = clock
    this.#engine = engine
    this.#onDue = onDue
  }

  /** Something has changed that may be due earlier than all else. */
  onChanges(changes: readonly Change[]): void {
    const due = dueAfter(this.#engine.state, changes)
    if (due < this.#at) this.#arm(due)
  }

  /** Looks at everything that may be due. */
  refresh(): void {
    this.#arm(nextDue(this.#engine.state))
  }

  stop(): void {
    this.#isStopped = true
    this.#stop.abort()
  }

  #arm(at: number): void {
    if (this.#isStopped) return
    this.#stop.abort()
    this.#at = at
    if (at === Number.POSITIVE_INFINITY) return
    const {signal} = (this.#stop = new AbortController())
    void this.#clock
      .sleep(Math.max(1, Math.max(at, this.#engine.calmUntil) - this.#clock.monotonic()), signal)
      .then(() => {
        if (signal.aborted) return
        this.#at = Number.POSITIVE_INFINITY
        this.#onDue()
      })
  }
}
