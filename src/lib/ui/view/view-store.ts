import type {WorkerEvent} from '../../events/worker-event.ts'
import {reduceAll} from './reduce.ts'
import type {View} from './view.ts'

/** Between two looks of whoever draws: ten in a second are enough for a person. */
const frameMs = 100
/** So many events wait to be folded at the most. */
const mostPending = 256

/** Holds the view as it is now, and tells whoever draws it that it has changed, but not at each event. */
export class ViewStore {
  readonly #listeners = new Set<() => void>()
  #view: View
  #pending: WorkerEvent[] = []
  #timer: NodeJS.Timeout | undefined
  #toldAt = 0

  constructor(view: View) {
    this.#view = view
  }

  readonly get = (): View => {
    if (this.#pending.length > 0) this.#view = reduceAll(this.#view, this.#pending.splice(0))
    return this.#view
  }

  readonly push = (event: WorkerEvent): void => {
    this.#pending.push(event)
    if (this.#pending.length >= mostPending) this.get()
    this.#changed()
  }

  replace(view: View): void {
    this.#pending.length = 0
    this.#view = view
    this.#changed()
  }

  #changed(): void {
    if (this.#listeners.size === 0 || this.#timer) return
    const pause = Math.max(0, this.#toldAt + frameMs - performance.now())
    this.#timer = setTimeout(() => this.#tell(), pause)
  }

  /** In the form that React wants of an external store. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  #tell(): void {
    this.#timer = undefined
    this.#toldAt = performance.now()
    for (const listener of this.#listeners) listener()
  }
}
