/** The three steps of leaving, each on its own signal. Stopping is not cancelling. */
export type StopSignals = {
  /** No new work; what runs may finish. */
  readonly drain: AbortSignal
  /** Interrupt what runs. */
  readonly cancel: AbortSignal
}

/**
 * The ladder of a person at the keyboard and of a service manager: the first call drains, the second cancels, the
 * third leaves at once. Raised by SIGTERM and SIGINT, the local socket and the dashboard alike.
 */
export class StopLadder implements StopSignals {
  readonly #drain = new AbortController()
  readonly #cancel = new AbortController()
  readonly #exit: () => void
  #steps = 0

  /** `exit` is what the third step does. */
  constructor(exit: () => void) {
    this.#exit = exit
  }

  get drain(): AbortSignal {
    return this.#drain.signal
  }

  get cancel(): AbortSignal {
    return this.#cancel.signal
  }

  /** Climbs one step and says which one was reached. */
  step(): 'drain' | 'cancel' | 'exit' {
    this.#steps += 1
    if (this.#steps === 1) this.#drain.abort()
    else if (this.#steps === 2) this.#cancel.abort()
    else this.#exit()
    return this.#steps === 1 ? 'drain' : this.#steps === 2 ? 'cancel' : 'exit'
  }

  /** Drains, whatever step was reached before; used by the socket, where a second request is no escalation. */
  drainNow(): void {
    if (this.#steps === 0) this.step()
  }
}

/**
 * A shell's job control for whoever holds its terminal: `leave` gives it back before the process is stopped by SIGTSTP,
 * `comeBack` is called when it goes on, also after a SIGSTOP that nobody could see.
 */
export function onJobControl({leave, comeBack}: {leave: () => Promise<void>; comeBack: () => void}): Disposable {
  const stop = () => void leave().then(() => process.kill(process.pid, 'SIGSTOP'))
  process.on('SIGTSTP', stop)
  process.on('SIGCONT', comeBack)
  return {
    [Symbol.dispose]() {
      process.off('SIGTSTP', stop)
      process.off('SIGCONT', comeBack)
    },
  }
}

/** What Ctrl-Z does where the terminal does it: stops the whole job, `npm` and the like before us included. */
export const stopJob = (): void => void process.kill(0, 'SIGTSTP')

/** Calls `step` at each SIGTERM and SIGINT until disposed. */
export function onTermination(step: (signal: NodeJS.Signals) => void): Disposable {
  const names = ['SIGTERM', 'SIGINT'] as const
  for (const name of names) process.on(name, step)
  return {
    [Symbol.dispose]() {
      for (const name of names) process.off(name, step)
    },
  }
}
