import {messageOf} from '../../core/errors.ts'
import type {Clock} from '../../core/clock.ts'
import {lapse} from '../rules/tasks/lapse.ts'
import {decide, type Rule} from '../state/draft.ts'
import type {Change} from '../state/decision.ts'
import type {State} from '../state/state.ts'
import type {Engine, EngineListener} from '../store/engine.ts'
import type {Maintenance} from '../store/maintenance.ts'
import type {Views} from '../store/views.ts'
import {DueTimer} from './due-timer.ts'

export type PlaneOptions = {
  engine: Engine
  clock: Clock
  /** Called before changes are applied. May throw, then nothing is applied. */
  makeRoom: (changes: readonly Change[], maintenance: Maintenance) => void
  /** Called for each event once what it tells of is on disk. */
  perform: EngineListener['perform']
  logError: (line: string) => void
  /** Called with how long a commit took, in ms. */
  onCommit?: (ms: number, hasFailed: boolean) => void
}

/** Decides about requests by the rules, and applies the decisions. What is due by time is decided in the same way. */
export class Plane {
  readonly #options: PlaneOptions
  readonly #due: DueTimer
  #isLapsing = false
  #isTimed = false
  #watcher: (changes: readonly Change[] | 'all') => void = () => {}

  constructor(options: PlaneOptions) {
    const {engine, clock, perform} = options
    this.#options = options
    this.#due = new DueTimer(clock, engine, () => void this.#lapse())
    engine.attach({
      perform,
      onChanges: (changes) => {
        this.#due.onChanges(changes)
        this.#watcher(changes)
      },
    })
  }

  /** The present state. */
  get state(): State {
    return this.#options.engine.state
  }

  /** Why nothing can be decided now, for people. */
  get problem(): string | undefined {
    return this.#options.engine.problem
  }

  get views(): Views {
    return this.#options.engine.views
  }

  /**
   * Lets a rule decide, and applies its decision. Resolves with the rule's answer: show it only once it is `durable`.
   * Rejects with what the rule throws, and then nothing has changed. Calls are decided in their order.
   */
  run<Request, Answer>(rule: Rule<Request, Answer>, request: Request): Promise<Answer> {
    const {engine, makeRoom} = this.#options
    let isNews = false
    const answer = engine.execute((maintenance) => {
      const decision = decide(engine.state, rule, request)
      makeRoom(decision.changes, maintenance)
      isNews = decision.events.length > 0
      return decision
    })
    this.#timeCommit(answer, () => isNews)
    return answer
  }

  /**
   * Measures one commit at a time, because many decisions share one. Most decisions without events, like heartbeats, have
   * nothing to write.
   */
  #timeCommit(decided: Promise<unknown>, isNews: () => boolean): void {
    const {onCommit, engine} = this.#options
    if (!onCommit || this.#isTimed) return
    this.#isTimed = true
    const since = performance.now()
    const ended = () => void (this.#isTimed = false)
    const committed = (hasFailed: boolean) => {
      ended()
      onCommit(performance.now() - since, hasFailed)
    }
    decided.then(
      () => {
        if (!isNews()) return ended()
        engine.durable().then(
          () => committed(false),
          () => committed(true),
        )
      },
      ended, // its rule has refused the request
    )
  }

  /** The same where nobody waits for the answer. A failure is logged. */
  runLater<Request>(rule: Rule<Request, unknown>, request: Request, what: string): void {
    this.run(rule, request).catch((error: unknown) => this.#options.logError(`${what} failed: ${messageOf(error)}`))
  }

  /** Resolves when the state shows all that was acknowledged before, by any control plane that shares it. */
  async fresh(): Promise<void> {
    await this.#options.engine.fresh()
  }

  /** Resolves when all decisions so far are on disk. */
  async durable(): Promise<void> {
    await this.#options.engine.durable()
  }

  /** Looks again at everything that is due by time: at the start. */
  watchTime(): void {
    this.#due.refresh()
  }

  /** The state was restored from what is on disk, so anything may have changed. */
  restored(): void {
    this.#due.refresh()
    this.#watcher('all')
  }

  /** Tells of changes from now on, also of those that another control plane has made. They need not be on disk yet. */
  watch(watcher: (changes: readonly Change[] | 'all') => void): void {
    this.#watcher = watcher
  }

  stop(): void {
    this.#due.stop()
  }

  async #lapse(): Promise<void> {
    if (this.#isLapsing) return // it looks again at its end
    const {engine} = this.#options
    this.#isLapsing = true
    try {
      while (engine.calmUntil <= engine.state.time && (await this.run(lapse, undefined)))
        await new Promise(setImmediate)
    } catch (error) {
      this.#options.logError(`ending what has lapsed failed: ${messageOf(error)}`)
      await this.#options.clock.sleep(retryMs)
    }

    this.#isLapsing = false
    this.#due.refresh()
  }
}

const retryMs = 1000
