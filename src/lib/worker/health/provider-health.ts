import type {Clock} from '../../core/clock.ts'
import type {Emit} from '../../events/bus.ts'
import type {ProviderTrouble} from '../../opencode/output/provider-trouble.ts'

/** What is known of a task, or a run, before it has met a provider. */
export type ProviderUse = {
  /** `provider/model`, if the task names one. */
  model: string | null | undefined
  /** Path of the codebase. */
  codebase: string
}

/** Why a task is not started now, and in how many ms to offer it again. */
export type ProviderObstacle = {reason: string; retryMs: number}

export type ProviderHealthOptions = {
  clock: Clock
  emit: Emit
  /** Called when tasks that were declined may be started. */
  onRecovered: () => void
}

type Sick = {
  /** Runs in a row that the provider has refused. */
  failures: number
  message: string
  /** When the next task may try the provider, in monotonic ms. */
  until: number
  pauseMs: number
  /** The words that were reported last. */
  reported: string | null
  /** A task is trying the provider now. */
  isTried: boolean
}

const unknownState = (): Sick => ({failures: 0, message: '', until: 0, pauseMs: 0, reported: null, isTried: false})

/** So many tasks fail with the words of the provider. Those after them are not started. */
const failuresBeforePause = 2
const firstPauseMs = 60_000
const maxPauseMs = 30 * 60_000
/** When to look again while one task tries the provider. */
const trialMs = 5000

/**
 * Remembers which model providers refuse everything: a wrong key, a used up quota, an outage. After two refusals in a row
 * the tasks of that provider are not started. After a pause that doubles each time, one task tries the provider. OpenCode
 * chooses the provider of a task without a model, so that is taken to be the one that the last run in its codebase met.
 */
export class ProviderHealth {
  readonly #options: ProviderHealthOptions
  readonly #sick = new Map<string, Sick>()
  readonly #lastOf = new Map<string, string>()
  #wake = () => {}

  constructor(options: ProviderHealthOptions) {
    this.#options = options
  }

  /** Why a task cannot be started now, or undefined. */
  obstacle(use: ProviderUse): ProviderObstacle | undefined {
    const provider = this.#providerOf(use)
    const sick = provider === undefined ? undefined : this.#sick.get(provider)
    if (!sick || sick.failures < failuresBeforePause) return undefined
    const left = sick.until - this.#options.clock.monotonic()
    const reason = `provider ${provider}: ${sick.message}`
    if (left > 0) return {reason, retryMs: left}
    return sick.isTried ? {reason, retryMs: trialMs} : undefined
  }

  /** A task starts. If its provider was sick, it is the one that tries it. Call the result when the task is over. */
  begin(use: ProviderUse): () => void {
    const provider = this.#providerOf(use)
    const sick = provider === undefined ? undefined : this.#sick.get(provider)
    if (!sick || sick.isTried || sick.failures < failuresBeforePause) return () => {}
    sick.isTried = true
    return () => (sick.isTried = false)
  }

  /**
   * Records how a run has ended. Returns true if its provider was known to be sick: the task then returns to the queue,
   * if it did nothing else.
   */
  record(
    use: ProviderUse,
    {trouble, hasAnswered}: {trouble: ProviderTrouble | undefined; hasAnswered: boolean},
  ): boolean {
    const provider = trouble?.id ?? this.#providerOf(use)
    if (provider === undefined) return false
    if (trouble) return this.#recordRefusal(provider, use, trouble)
    if (hasAnswered) this.#recover(provider, use)
    return false
  }

  #recordRefusal(provider: string, {codebase}: ProviderUse, {message, until}: ProviderTrouble): boolean {
    const {clock} = this.#options
    this.#lastOf.set(codebase, provider)
    const sick = this.#sick.get(provider) ?? unknownState()
    this.#sick.set(provider, sick)
    const wasPaused = sick.failures >= failuresBeforePause
    sick.failures += 1
    sick.pauseMs = Math.min(maxPauseMs, wasPaused ? sick.pauseMs * 2 : firstPauseMs)
    // OpenCode's clock is the wall clock.
    const wantedMs = Math.min(maxPauseMs, Math.max(sick.pauseMs, (until ?? 0) - clock.now()))
    sick.until = clock.monotonic() + wantedMs
    this.#wake()
    const isNews = message !== sick.reported && sick.failures >= failuresBeforePause
    sick.message = message
    if (isNews) this.#report(provider, (sick.reported = message))
    return wasPaused
  }

  #recover(provider: string, {model, codebase}: ProviderUse): void {
    if (!model) this.#lastOf.delete(codebase)
    const known = this.#sick.get(provider)
    if (!known) return
    this.#sick.delete(provider)
    if (known.reported === null) return
    this.#report(provider, null)
    this.#options.onRecovered()
  }

  #report(name: string, reason: string | null): void {
    this.#options.emit({type: 'trouble.changed', kind: 'provider', name, reason})
  }

  #providerOf({model, codebase}: ProviderUse): string | undefined {
    const slash = model?.indexOf('/') ?? -1
    return model && slash > 0 ? model.slice(0, slash) : this.#lastOf.get(codebase)
  }

  /** Forgets all refusals: the next tasks try their providers. */
  reset(): void {
    const reported = [...this.#sick].filter(([, {reported}]) => reported !== null)
    this.#sick.clear()
    for (const [provider] of reported) this.#report(provider, null)
    if (reported.length > 0) this.#options.onRecovered()
  }

  /** Calls `onRecovered` when a pause is over, for servers that do not offer declined tasks again. Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const {clock, onRecovered} = this.#options
    let checkedAt = clock.monotonic()
    while (!signal.aborted) {
      await this.#untilPauseEnds(signal)
      const now = clock.monotonic()
      const isOver = [...this.#sick.values()].some(({until}) => until > checkedAt && until <= now)
      checkedAt = now
      if (isOver && !signal.aborted) onRecovered()
    }
  }

  /** Sleeps until the next pause is over, or another one begins. */
  async #untilPauseEnds(signal: AbortSignal): Promise<void> {
    const {clock} = this.#options
    const now = clock.monotonic()
    const pauses = [...this.#sick.values()].map(({until}) => until - now).filter((left) => left > 0)
    const wake = new AbortController()
    this.#wake = () => wake.abort()
    signal.addEventListener('abort', this.#wake, {once: true})
    await clock.sleep(Math.min(...pauses, maxPauseMs), wake.signal)
    signal.removeEventListener('abort', this.#wake)
  }
}
