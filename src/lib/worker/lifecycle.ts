import type {Emit} from '../events/bus.ts'
import type {Phase} from '../events/worker-event.ts'

const allowed: Record<Phase, readonly Phase[]> = {
  idle: ['starting'],
  starting: ['running', 'stopping', 'failed'],
  running: ['draining', 'failed'],
  draining: ['stopping', 'failed'], // takes no task; active ones finish (first SIGTERM)
  stopping: ['stopped', 'failed'], // no task runs any more; the worker unregisters
  stopped: [],
  failed: [],
}

/** The phase of the worker. An illegal transition throws: it is a bug. */
export class Lifecycle {
  readonly #emit: Emit
  #phase: Phase = 'idle'

  constructor(emit: Emit) {
    this.#emit = emit
  }

  get phase(): Phase {
    return this.#phase
  }

  to(next: Phase): void {
    const from = this.#phase
    if (!allowed[from].includes(next)) throw new Error(`a worker that is ${from} cannot become ${next}`)
    this.#phase = next
    this.#emit({type: 'phase.changed', from, to: next})
  }
}
