import type {Clock} from '../core/clock.ts'
import type {Deadlines, StopReason} from './executor.ts'

export type WatchdogOptions = {
  deadlines: Deadlines
  clock: Clock
  /** Is a tool at work now? Asked only when the idle limit has passed. */
  isToolRunning: () => boolean
  onExpired: (reason: StopReason) => void
  /** Ends the watch. */
  signal: AbortSignal
  checkMs?: number
}

const failed = (error: string): StopReason => ({status: 'failed', error})
const seconds = (ms: number) => `${Math.round(ms / 1000)} s`

/** Ends a run that does not start, goes silent, or takes too long, and says which of these it was. */
export class Watchdog {
  readonly #options: WatchdogOptions
  readonly #started: number
  #lastSign: number
  #hasBegun = false

  constructor(options: WatchdogOptions) {
    this.#options = options
    this.#started = options.clock.monotonic()
    this.#lastSign = this.#started
    void this.#watch()
  }

  /** Output came. */
  sign(): void {
    this.#hasBegun = true
    this.#lastSign = this.#options.clock.monotonic()
  }

  async #watch(): Promise<void> {
    const {signal, clock, onExpired, checkMs = 1000} = this.#options
    while (!signal.aborted) {
      const reason = this.#expired()
      if (reason) return onExpired(reason)
      await clock.sleep(checkMs, signal)
    }
  }

  #expired(): StopReason | undefined {
    const {deadlines, clock, isToolRunning} = this.#options
    const now = clock.monotonic()
    const silence = now - this.#lastSign
    if (passed(now - this.#started, deadlines.total))
      return failed(`stopped after ${seconds(deadlines.total)}, the limit of a task (task_timeout)`)
    if (!this.#hasBegun)
      return passed(silence, deadlines.startup)
        ? failed(`the agent showed no sign of life within ${seconds(deadlines.startup)} (startup_timeout)`)
        : undefined
    if (passed(silence, deadlines.tool))
      return failed(`a tool ran without any output for ${seconds(deadlines.tool)} (tool_timeout)`)
    if (passed(silence, deadlines.idle) && !isToolRunning())
      return failed(`the agent was silent for ${seconds(deadlines.idle)} while no tool ran (idle_timeout)`)
    return undefined
  }
}

const passed = (elapsed: number, limit: number) => limit > 0 && elapsed >= limit
