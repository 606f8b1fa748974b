import {isatty} from 'node:tty'

/** The ways to stop, each with its own signal. Stopping is not cancelling. */
export type StopSignals = {
  /** Take no new work. Active work may finish. */
  readonly drain: AbortSignal
  /** Interrupt active work. */
  readonly cancel: AbortSignal
  /** Exit now. Active work goes on, and the next process of this worker adopts it. */
  readonly detach: AbortSignal
  /** Ends the drain: takes the step after it, unless that was taken. */
  endDrain(): void
}

export type StopStep = 'drain' | 'cancel' | 'detach' | 'exit'

/**
 * The steps of stopping, for people and service managers: the first call drains, the second cancels, the third exits at
 * once. SIGTERM, SIGINT, the local socket and the dashboard use it. If a service manager ends the agents, the second
 * step detaches instead.
 */
export class StopLadder implements StopSignals {
  readonly #drain = new AbortController()
  readonly #cancel = new AbortController()
  readonly #detach = new AbortController()
  readonly #exit: () => void
  /** The second step. */
  readonly second: 'cancel' | 'detach'
  #steps = 0

  /** `exit` is called by the third step. */
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

  /** Takes the next step and returns it. */
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

  /** Drains, without escalating if that was done. For the socket, where a second request is not a second step. */
  drainNow(): void {
    if (this.#steps === 0) this.step()
  }

  endDrain(): void {
    while (this.#steps < 2) this.step()
  }

  /** Drains and detaches at once. */
  detachNow(): void {
    this.drainNow()
    this.#detach.abort()
  }
}

/**
 * Shell job control for a program that draws on the terminal. `leave` restores the terminal before SIGTSTP stops the
 * process. `comeBack` is called when the process continues, also after a SIGSTOP.
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

/** Does what Ctrl-Z does in a terminal: stops the whole job, including parents such as `npm`. */
export const stopJob = (): void => void process.kill(0, 'SIGTSTP')

/** Calls `step` on each SIGTERM and SIGINT, and `quit` on SIGQUIT, until disposed. */
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

/** Calls `listener` on each signal of this name, until disposed. */
export function onSignal(name: NodeJS.Signals, listener: () => void): Disposable {
  process.on(name, listener)
  return {
    [Symbol.dispose]() {
      process.off(name, listener)
    },
  }
}

/**
 * Calls `reload` on each SIGHUP, or `leave` if a terminal of this process has been closed. The signal has both meanings:
 * a closed window, and a request to read the configuration again.
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
