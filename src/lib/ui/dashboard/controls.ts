import type {ViewStore} from '../view/view-store.ts'

/** What a person at the dashboard can have the worker do. Each rejects, with the reason, what cannot be done. */
export type Controls = {
  cancel: (taskId: string) => Promise<void>
  setPaused: (isPaused: boolean) => Promise<void>
  /** Takes no more tasks and leaves when those in hand have ended. */
  drain: () => Promise<void>
  /** Ctrl-C, and `q`: the worker's own dashboard climbs the stop ladder, any other one is closed. */
  leave: () => void
  /** The worker goes on without this dashboard: leaving it needs no question. */
  isDetachable: boolean
}

export type DashboardOptions = {
  store: ViewStore
  controls: Controls
  terminal: {stdin: NodeJS.ReadStream; stdout: NodeJS.WriteStream; stderr: NodeJS.WriteStream}
  isColoured: boolean
}

export type OpenedDashboard = {
  /** Settles when the terminal is as it was; rejects where the dashboard itself has failed. */
  closed: Promise<void>
  close: () => Promise<void>
}

/** Opens the dashboard. A type of its own, so that whoever may do without one need not load what it draws with. */
export type OpenDashboard = (options: Pick<DashboardOptions, 'store' | 'controls'>) => OpenedDashboard
