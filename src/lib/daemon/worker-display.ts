import {messageOf} from '../core/errors.ts'
import type {Emit} from '../events/bus.ts'
import type {Controls, OpenDashboard, OpenedDashboard} from '../ui/dashboard/controls.ts'
import type {ViewStore} from '../ui/view/view-store.ts'

export type WorkerDisplayOptions = {
  /** None: log lines are all there is. */
  dashboard?: OpenDashboard | undefined
  /** Log lines go on while the dashboard is shown: they go elsewhere. */
  isLogRedirected?: boolean
  write: (text: string) => void
}

/** What the worker shows on its terminal: log lines, or its dashboard, which has the log in it. */
export class WorkerDisplay {
  readonly #options: WorkerDisplayOptions
  readonly #store: ViewStore
  #dashboard: OpenedDashboard | undefined

  constructor(options: WorkerDisplayOptions, store: ViewStore) {
    this.#options = options
    this.#store = store
  }

  /** Takes log lines. */
  readonly write = (text: string): void => {
    if (this.#dashboard === undefined || this.#options.isLogRedirected) this.#options.write(text)
  }

  /** From now on the dashboard is shown, where there is one. That it fails is no reason for the worker to end. */
  open(controls: Controls, {watch, emit}: {watch: () => Disposable; emit: Emit}): void {
    const {dashboard} = this.#options
    if (!dashboard) return
    const watching = watch()
    const opened = dashboard({store: this.#store, controls})
    this.#dashboard = opened
    const onClosed = () => {
      this.#dashboard = undefined
      watching[Symbol.dispose]()
    }
    opened.closed.then(onClosed, (error: unknown) => {
      onClosed()
      const text = `The dashboard has failed and the worker goes on without: ${messageOf(error)}`
      emit({type: 'notice', level: 'error', text})
    })
  }

  /** The terminal is as it was before, with a line about what became of the worker. */
  async close(): Promise<void> {
    const dashboard = this.#dashboard
    if (!dashboard) return
    await dashboard.close()
    this.#dashboard = undefined
    const {name, phase, totals} = this.#store.get()
    const {completed, failed, cancelled} = totals
    const end = phase === 'failed' ? 'failed' : 'stopped'
    const tasks = `${completed} completed, ${failed} failed, ${cancelled} cancelled`
    if (!this.#options.isLogRedirected) this.write(`Worker ${name} has ${end}; its tasks: ${tasks}\n`)
  }
}
