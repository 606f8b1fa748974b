import type {WorkerEvent} from '../../events/worker-event.ts'
import {reduceEvents} from './reduce.ts'
import type {View} from './view.ts'

/** Between two looks of whoever draws: ten in a second are enough for a person. */
const frameMs = 100
/** So many events wait to be folded at the most. */
const maxPending = 256

/** Holds the view as it is now, and tells whoever draws it that it has changed, but not at each event. */
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

  /** In the form that React wants of an external store. */
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
