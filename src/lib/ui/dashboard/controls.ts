import type {Said} from './screen.ts'
import type {ViewStore} from '../view/view-store.ts'

/** The actions of the dashboard. Each promise rejects with the reason if the action fails. */
export type Controls = {
  /** Stops an active task, or cancels a waiting one. */
  cancel: (taskId: string) => Promise<void>
  /** Creates a task and resolves with its id. */
  create: (codebaseId: string, prompt: string) => Promise<string>
  /** Answers a question of a task, or says something to it. Resolves with what happened, for people. */
  say: (taskId: string, said: Said) => Promise<string>
  setPaused: (isPaused: boolean) => Promise<void>
  /** Takes no more tasks and exits when the running ones have finished. */
  drain: () => Promise<void>
  /** Ctrl-C and `q`. The worker's own dashboard takes the next stop step, an attached dashboard closes. */
  leave: () => void
  /** Closing the dashboard does not affect the worker, so it needs no confirmation. */
  isDetachable: boolean
}

export type DashboardOptions = {
  store: ViewStore
  controls: Controls
  terminal: {stdin: NodeJS.ReadStream; stdout: NodeJS.WriteStream; stderr: NodeJS.WriteStream}
  isColoured: boolean
}

export type OpenedDashboard = {
  /** Resolves when the terminal is restored. Rejects if the dashboard failed. */
  closed: Promise<void>
  close: () => Promise<void>
}

/** Opens the dashboard. This type lets callers take it as a parameter without loading the modules that draw it. */
export type OpenDashboard = (options: Pick<DashboardOptions, 'store' | 'controls'>) => OpenedDashboard
