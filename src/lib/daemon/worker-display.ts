import {messageOf} from '../core/errors.ts'
import type {Emit} from '../events/bus.ts'
import type {Controls, OpenDashboard, OpenedDashboard} from '../ui/dashboard/controls.ts'
import type {ViewStore} from '../ui/view/view-store.ts'
import type {View} from '../ui/view/view.ts'

export type WorkerDisplayOptions = {
  /** Undefined: only log lines are shown. */
  dashboard?: OpenDashboard | undefined
  /** The log does not go to the terminal, so it continues while the dashboard is open. */
  isLogRedirected?: boolean
  write: (text: string) => void
}

/** What the worker shows on its terminal: log lines, or the dashboard, which includes the log. */
export class WorkerDisplay {
  readonly #options: WorkerDisplayOptions
  readonly #store: ViewStore
  #dashboard: OpenedDashboard | undefined
  #watching: Disposable | undefined

  constructor(options: WorkerDisplayOptions, store: ViewStore) {
    this.#options = options
    this.#store = store
  }

  /** Writes a log line, unless the dashboard covers the terminal. */
  readonly write = (text: string): void => {
    if (this.#dashboard === undefined || this.#options.isLogRedirected) this.#options.write(text)
  }

  /** Opens the dashboard, if there is one. If it fails, the worker continues with log lines. */
  open(controls: Controls, emit: Emit): void {
    const {dashboard} = this.#options
    if (!dashboard) return
    const opened = dashboard({store: this.#store, controls})
    this.#dashboard = opened
    const onClosed = () => {
      this.#dashboard = undefined
      this.#watching?.[Symbol.dispose]()
    }
    opened.closed.then(onClosed, (error: unknown) => {
      onClosed()
      const text = `The dashboard failed. The worker continues without it: ${messageOf(error)}`
      emit({type: 'notice', level: 'error', text})
    })
  }

  /** Watches the queue while the dashboard is open. */
  watchQueue(watch: () => Disposable): void {
    if (this.#dashboard) this.#watching = watch()
  }

  /** Closes the dashboard, restores the terminal and writes what is left to say. */
  async close(): Promise<void> {
    const dashboard = this.#dashboard
    if (!dashboard) return
    await dashboard.close()
    this.#dashboard = undefined
    this.#writeSummary(this.#store.get())
  }

  /** The totals, or, if the start has failed, the warnings that the dashboard has shown. */
  #writeSummary({name, phase, totals, log}: View): void {
    if (phase === 'idle') {
      const warnings = log.items.filter(({level}) => level === 'warn' || level === 'error')
      for (const {level, text} of warnings) this.write(`${level.toUpperCase()} ${text}\n`)
      return
    }
    const {completed, failed, cancelled} = totals
    const end = phase === 'failed' ? 'failed' : 'stopped'
    const tasks = `${completed} completed, ${failed} failed, ${cancelled} cancelled`
    if (!this.#options.isLogRedirected) this.write(`Worker ${name} ${end}. Tasks: ${tasks}\n`)
  }
}
