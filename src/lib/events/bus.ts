import type {Clock} from '../core/clock.ts'
import type {EventBody, WorkerEvent} from './worker-event.ts'

export type Emit = (body: EventBody) => void

/** Passes each event to all listeners, synchronously and in order. An exception of a listener is a bug and propagates. */
export class EventBus {
  readonly #listeners = new Set<(event: WorkerEvent) => void>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  readonly emit: Emit = (body) => {
    const event = {at: this.#clock.now(), ...body} as WorkerEvent
    for (const listener of this.#listeners) listener(event)
  }

  /** Listens until disposed. */
  on(listener: (event: WorkerEvent) => void): Disposable {
    this.#listeners.add(listener)
    return {[Symbol.dispose]: () => void this.#listeners.delete(listener)}
  }
}
