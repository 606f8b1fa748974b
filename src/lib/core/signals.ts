import {isatty} from 'node:tty'

/** The ways of leaving, each on its own signal. Stopping is not cancelling. */
export type StopSignals = {
  /** No new work; what runs may finish. */
  readonly drain: AbortSignal
  /** Interrupt what runs. */
  readonly cancel: AbortSignal
  /** Leave now; what runs goes on, and the next process of this worker finds it. */
  readonly detach: AbortSignal
  /** What runs has had its time: climbs to what follows the drain, unless that was reached. */
  endDrain(): void
}

export type StopStep = 'drain' | 'cancel' | 'detach' | 'exit'

/**
 * The ladder of a person at the keyboard and of a service manager: the first call drains, the second cancels, the
 * third leaves at once. Raised by SIGTERM and SIGINT, the local socket and the dashboard alike. Where somebody else sees
 * to what runs, the second step is to detach from it.
 */
export class StopLadder implements StopSignals {
  readonly #drain = new AbortController()
  readonly #cancel = new AbortController()
  readonly #detach = new AbortController()
  readonly #exit: () => void
  /** What the second step does. */
  readonly second: 'cancel' | 'detach'
  #steps = 0

  /** `exit` is what the third step does. */
  constructor(exit: () => void, second: 'cancel' | 'detach' = 'cancel') {
    this.#exit = exit
    this.second = second
  }

  get drain(): AbortSignal {
    return this.#drain.signal
  }

  get cancel(): AbortSignal {
    return this.#cancel.signal
  }

  get detach(): AbortSignal {
    return this.#detach.signal
  }

  /** Climbs one step and says which one was reached. */
  step(): StopStep {
    this.#steps += 1
    if (this.#steps > 2) {
      this.#exit()
      return 'exit'
    }

    if (this.#steps === 1) this.#drain.abort()
    else if (this.second === 'cancel') this.#cancel.abort()
    else this.#detach.abort()
    return this.#steps === 1 ? 'drain' : this.second
  }

  /** Drains, whatever step was reached before; used by the socket, where a second request is no escalation. */
  drainNow(): void {
    if (this.#steps === 0) this.step()
  }

  endDrain(): void {
    while (this.#steps < 2) this.step()
  }

  /** Takes nothing more and lets go of what runs, whatever step was reached before. */
  detachNow(): void {
    this.drainNow()
    this.#detach.abort()
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

/** Calls `step` at each SIGTERM and SIGINT, and `quit` at a SIGQUIT, until disposed. */
export function onTermination(
  step: (signal: NodeJS.Signals) => void,
  quit?: (signal: NodeJS.Signals) => void,
): Disposable {
  const listeners = [['SIGTERM', step], ['SIGINT', step], ...(quit ? [['SIGQUIT', quit] as const] : [])] as const
  for (const [name, listener] of listeners) process.on(name, listener)
  return {
    [Symbol.dispose]() {
      for (const [name, listener] of listeners) process.off(name, listener)
    },
  }
}

/**
 * Calls `reload` at each SIGHUP, but `leave` where it says that a terminal of this process has gone: so it is told by a
 * person who closes the window, and a manager or a person who has changed the settings says it with the same signal.
 */
export function onHangup({reload, leave}: {reload: () => void; leave: (signal: NodeJS.Signals) => void}): Disposable {
  const terminals = [0, 1, 2].filter((fd) => isatty(fd))
  const listener = (signal: NodeJS.Signals) => (terminals.every((fd) => isatty(fd)) ? reload() : leave(signal))
  process.on('SIGHUP', listener)
  return {
    [Symbol.dispose]() {
      process.off('SIGHUP', listener)
    },
  }
}
