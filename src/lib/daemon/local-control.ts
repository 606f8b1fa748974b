import type {WorkerStatus} from '../control/messages.ts'
import type {ControlHandlers} from '../control/socket-server.ts'
import {ExpectedError} from '../core/errors.ts'
import type {StopLadder} from '../core/signals.ts'
import type {EventBus} from '../events/bus.ts'
import type {Controls} from '../ui/dashboard/controls.ts'
import {statusFromView} from '../ui/view/snapshot.ts'
import type {ViewStore} from '../ui/view/view-store.ts'
import type {RunningWorker} from '../worker/running-worker.ts'

export type LocalControlContext = {
  worker: RunningWorker
  store: ViewStore
  bus: EventBus
  ladder: StopLadder
  /** Takes the next step of the stop ladder and emits an event. `by` names the signal or key. */
  step: (by: string) => void
  /** The address of the control plane. The one of this machine may move to another port. */
  server: () => string
  version: string
}

const cancelledLocally = {status: 'cancelled', error: 'cancelled on this machine'} as const

/** The handlers of the local socket. */
export function socketHandlers({worker, store, bus, ladder, server, version}: LocalControlContext): ControlHandlers {
  const {runner, registration, workerId} = worker
  return {
    status: () => {
      const facts = {
        pid: process.pid,
        version,
        server: server(),
        worker_id: workerId,
        free: runner.freeSlots,
        disk: diskStatus(worker),
      }
      return statusFromView(store.get(), facts, Date.now())
    },
    drain: () => ladder.drainNow(),
    detach: () => ladder.detachNow(),
    setPaused: (isPaused) => worker.setPaused(isPaused),
    cancel: (taskId) => runner.stop(taskId, cancelledLocally),
    syncSessions: async (all) => (await worker.sessions?.syncNow(new AbortController().signal, {all})) ?? [],
    addCodebase: async (codebase) => {
      await registration.addCodebase(codebase, {isPersistent: false, signal: AbortSignal.timeout(20_000)})
    },
    watch: (listener) => {
      const watching = worker.queue.watch()
      const listening = bus.on(listener)
      return {
        [Symbol.dispose]() {
          listening[Symbol.dispose]()
          watching[Symbol.dispose]()
        },
      }
    },
  }
}

function diskStatus({disk, retention}: RunningWorker): WorkerStatus['disk'] {
  const {path, free, minimum, freeInodes, isLow} = disk.state
  return {path, free, minimum, is_low: isLow, free_inodes: freeInodes, runs: retention.usage}
}

/** The controls for the dashboard of this process. */
export function dashboardControls({worker, ladder, step}: LocalControlContext): Controls {
  return {
    cancel: async (taskId) => {
      if (!worker.runner.stop(taskId, cancelledLocally)) throw notRunningError(taskId)
    },
    setPaused: async (isPaused) => worker.setPaused(isPaused),
    drain: async () => ladder.drainNow(),
    leave: () => step('Ctrl-C'),
    isDetachable: false,
  }
}

const notRunningError = (taskId: string) =>
  new ExpectedError(`task ${taskId} does not run here`, {code: 'NOT_HERE', exit: 'failed'})
