import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import {fullJitter} from '../../core/loop.ts'

/** The agent's program on this machine. */
export type AgentProgram = {
  /** Why the program cannot be started, as far as a look at its file tells. Costs microseconds. */
  problem: () => string | undefined
  /** Finds the program again and runs it. Throws if that fails. */
  check: () => Promise<void>
}

export type AgentHealthOptions = {
  program: AgentProgram
  clock: Clock
  /** Pauses the worker for a reason, or ends that pause (null). */
  setPaused: (reason: string | null) => void
}

const firstPauseMs = 1000
const maxPauseMs = 60_000

/**
 * Keeps a sick machine from failing one task after the other. When a run cannot begin, the worker pauses, tries the
 * agent's program with a backoff, and resumes when it works. The backoff starts over only when a run has begun.
 */
export class AgentHealth {
  readonly #options: AgentHealthOptions
  readonly #backoff = fullJitter(firstPauseMs, maxPauseMs)
  #failures = 0
  #isPaused = false
  #wake = () => {}

  constructor(options: AgentHealthOptions) {
    this.#options = options
  }

  /** Called before a task is taken. If the program is missing, pauses and returns the reason. */
  look(): string | undefined {
    const problem = this.#options.program.problem()
    if (problem !== undefined) this.reportFault(problem)
    return problem
  }

  /** A run could not begin, for a reason that lies with this machine. */
  reportFault(reason: string): void {
    this.#failures += 1
    this.#pause(reason)
    this.#wake()
  }

  /** The agent of a run has said something: the program works. */
  reportBegin(): void {
    this.#failures = 0
  }

  /** Why the agent's program does not work now, or undefined. It tells a sick machine from a task that fails. */
  async diagnose(): Promise<string | undefined> {
    try {
      await this.#options.program.check()
      return undefined
    } catch (error) {
      return this.#options.program.problem() ?? messageOf(error) // the same words each time, for a missing program
    }
  }

  /** While paused, tries the program until it works. Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const {clock, setPaused} = this.#options
    while (!signal.aborted) {
      if (!this.#isPaused) await this.#untilFault(signal)
      await clock.sleep(firstPauseMs / 2 + this.#backoff(this.#failures), signal)
      if (signal.aborted || !this.#isPaused) continue
      const problem = await this.diagnose()
      if (problem === undefined) {
        this.#isPaused = false
        setPaused(null)
      } else {
        this.#failures += 1
        this.#pause(problem)
      }
    }
  }

  #pause(reason: string): void {
    this.#isPaused = true
    this.#options.setPaused(reason)
  }

  async #untilFault(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      signal.addEventListener('abort', () => resolve(), {once: true})
    })
    this.#wake = () => {}
  }
}
