import {cancelTask} from '../client/cancel-task.ts'
import type {ControlPlaneClient} from '../client/control-plane.ts'
import {createTask} from '../client/create-task.ts'
import {titleOf} from '../client/prompt.ts'
import type {Config} from '../config/settings.ts'
import type {WorkerStatus} from '../control/messages.ts'
import type {ControlHandlers} from '../control/socket-server.ts'
import {ExpectedError} from '../core/errors.ts'
import type {StopLadder} from '../core/signals.ts'
import type {EventBus} from '../events/bus.ts'
import type {Controls} from '../ui/dashboard/controls.ts'
import type {Containment} from '../protocol/containment.ts'
import {statusFromView} from '../ui/view/snapshot.ts'
import type {ViewStore} from '../ui/view/view-store.ts'
import type {RunningWorker} from '../worker/running-worker.ts'

export type LocalControlContext = {
  config: Config
  worker: RunningWorker
  store: ViewStore
  bus: EventBus
  ladder: StopLadder
  /** Takes the next step of the stop ladder and emits an event. `by` names the signal or key. */
  step: (by: string) => void
  client: ControlPlaneClient
  version: string
  containment: Containment
}

const cancelledLocally = {status: 'cancelled', error: 'cancelled on this machine'} as const

const signedOnly = new ExpectedError('This worker runs signed tasks only (verify_tasks).', {
  code: 'SIGNED_ONLY',
  exit: 'refused',
  suggestions: ['Create the task with: a2a-worker tasks create --sign'],
})

const requestMs = 20_000

/** What socket and dashboard can do with tasks. Both show the reason if it fails. */
const taskControls = ({config, worker, client}: LocalControlContext) => ({
  async cancel(taskId: string): Promise<void> {
    if (worker.runner.stop(taskId, cancelledLocally)) return
    await cancelTask(client, taskId, false, AbortSignal.timeout(requestMs))
  },
  async create(codebaseId: string, prompt: string): Promise<string> {
    // not signed here: whoever may use the socket would sign whatever they like
    if (config.verify_tasks === 'require') throw signedOnly
    const request = {title: titleOf(prompt), prompt, agent_type: 'build', priority: 0, metadata: {}}
    return (await createTask(client, codebaseId, request, AbortSignal.timeout(requestMs))).task.id
  },
})

/** The handlers of the local socket. */
export function socketHandlers(context: LocalControlContext): ControlHandlers {
  const {worker, store, bus, ladder, client, version, containment} = context
  const {runner, registration, workerId} = worker
  const {cancel, create: createTask} = taskControls(context)
  return {
    status: () => {
      const facts = {
        pid: process.pid,
        version,
        server: client.url,
        worker_id: workerId,
        free: runner.freeSlots,
        disk: diskStatus(worker),
        containment,
      }
      return statusFromView(store.get(), facts, Date.now())
    },
    drain: () => ladder.drainNow(),
    detach: () => ladder.detachNow(),
    setPaused: (isPaused) => worker.setPaused(isPaused),
    cancel,
    createTask,
    syncSessions: async (all) => (await worker.sessions?.syncNow(new AbortController().signal, {all})) ?? [],
    addCodebase: async (codebase) => {
      await registration.addCodebase(codebase, {isPersistent: false, signal: AbortSignal.timeout(requestMs)})
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

/** The controls of the dashboard while the worker starts: it can only be left. */
export function startingControls(step: LocalControlContext['step']): Controls {
  const notYet = async () => {
    throw new Error('The worker is still starting.')
  }
  return {
    ...{cancel: notYet, create: notYet, setPaused: notYet, drain: notYet},
    leave: () => step('Ctrl-C'),
    isDetachable: false,
  }
}

/** The controls for the dashboard of this process. */
export function dashboardControls(context: LocalControlContext): Controls {
  const {worker, ladder, step} = context
  return {
    ...taskControls(context),
    setPaused: async (isPaused) => worker.setPaused(isPaused),
    drain: async () => ladder.drainNow(),
    leave: () => step('Ctrl-C'),
    isDetachable: false,
  }
}
