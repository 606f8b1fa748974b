import type {WorkerEvent} from '../../events/worker-event.ts'
import {reduceEvents} from './reduce.ts'
import type {View} from './view.ts'

/** Minimum time between two notifications of listeners. Ten updates a second are enough for a person. */
const frameMs = 100
/** Maximum number of events that wait to be reduced. */
const maxPending = 256

/** Stores the current view. Notifies listeners of changes, at most ten times a second. */
export class ViewStore {
  readonly #listeners = new Set<() => void>()
  #view: View
  #pending: WorkerEvent[] = []
  #timer: NodeJS.Timeout | undefined
  #notifiedAt = 0

  constructor(view: View) {
    this.#view = view
  }

  readonly get = (): View => {
    if (this.#pending.length > 0) this.#view = reduceEvents(this.#view, this.#pending.splice(0))
    return this.#view
  }

  readonly push = (event: WorkerEvent): void => {
    this.#pending.push(event)
    if (this.#pending.length >= maxPending) this.get()
    this.#scheduleNotify()
  }

  replace(view: View): void {
    this.#pending.length = 0
    this.#view = view
    this.#scheduleNotify()
  }

  #scheduleNotify(): void {
    if (this.#listeners.size === 0 || this.#timer) return
    const pause = Math.max(0, this.#notifiedAt + frameMs - performance.now())
    this.#timer = setTimeout(() => this.#notify(), pause)
  }

  /** Adds a listener and returns a function that removes it, as React's useSyncExternalStore requires. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  #notify(): void {
    this.#timer = undefined
    this.#notifiedAt = performance.now()
    for (const listener of this.#listeners) listener()
  }
}
