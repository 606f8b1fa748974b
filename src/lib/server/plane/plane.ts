import {messageOf} from '../../core/errors.ts'
import type {Clock} from '../../core/clock.ts'
import {lapse} from '../rules/tasks/lapse.ts'
import {decide, type Rule} from '../state/draft.ts'
import type {StateEvent} from '../state/events.ts'
import type {Change} from '../state/decision.ts'
import type {State} from '../state/state.ts'
import {StaleDecisionError, type Engine} from '../store/engine.ts'
import type {Views} from '../store/views.ts'
import {DueTimer} from './due-timer.ts'

export type PlaneOptions = {
  engine: Engine
  clock: Clock
  /** Called before changes are applied. May throw, then nothing is applied. */
  makeRoom: (changes: readonly Change[]) => void
  /** Called for each event once what it tells of is on disk. */
  perform: (event: StateEvent) => void
  logError: (line: string) => void
}

/** How often a decision is made again because the state has changed meanwhile. */
const maxTries = 30

/** Decides about requests by the rules, and applies the decisions. What is due by time is decided in the same way. */
export class Plane {
  readonly #options: PlaneOptions
  readonly #due: DueTimer

  constructor(options: PlaneOptions) {
    this.#options = options
    this.#due = new DueTimer(options.clock, options.engine.state, () => this.#lapse())
  }

  /** The present state. */
  get state(): State {
    return this.#options.engine.state
  }

  get views(): Views {
    return this.#options.engine.views
  }

  nextNumber(): number {
    return this.#options.engine.nextNumber()
  }

  /**
   * Lets a rule decide, and applies its decision. Returns the rule's answer: show it only once it is `durable`. Throws what
   * the rule throws, and then nothing has changed.
   */
  run<Request, Answer>(rule: Rule<Request, Answer>, request: Request): Answer {
    const {engine, makeRoom, perform} = this.#options
    for (let tries = 1; ; tries++) {
      const decision = decide(engine.state, rule, request)
      makeRoom(decision.changes)
      try {
        engine.apply(decision)
      } catch (error) {
        if (error instanceof StaleDecisionError && tries < maxTries) continue
        throw error
      }

      for (const event of decision.events) engine.afterCommit(() => perform(event)) // one may fail, the others happen
      this.#due.onChanges(decision.changes)
      return decision.answer
    }
  }

  /** Resolves when all decisions so far are on disk. */
  async durable(): Promise<void> {
    await this.#options.engine.durable()
  }

  /** Looks again at everything that is due by time: at the start, and after the state was restored. */
  watchTime(): void {
    this.#due.refresh()
  }

  stop(): void {
    this.#due.stop()
  }

  #lapse(): void {
    try {
      const hasMore = this.run(lapse, undefined)
      if (hasMore) setImmediate(() => this.#lapse())
      else this.#due.refresh()
    } catch (error) {
      this.#options.logError(`ending what has lapsed failed: ${messageOf(error)}`)
      void this.#options.clock.sleep(retryMs).then(() => this.#due.refresh())
    }
  }
}

const retryMs = 1000
