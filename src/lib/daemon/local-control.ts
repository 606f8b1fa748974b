import {randomUUID} from 'node:crypto'
import {cancelTask} from '../client/cancel-task.ts'
import type {ControlPlaneClient} from '../client/control-plane.ts'
import {createTask} from '../client/create-task.ts'
import {sendInput} from '../client/inputs/send-input.ts'
import {titleOf} from '../client/prompt.ts'
import type {Config} from '../config/settings.ts'
import type {WorkerStatus} from '../control/messages.ts'
import type {ControlHandlers} from '../control/socket-server.ts'
import {systemClock} from '../core/clock.ts'
import {ExpectedError} from '../core/errors.ts'
import type {StopLadder} from '../core/signals.ts'
import type {EventBus} from '../events/bus.ts'
import type {Controls} from '../ui/dashboard/controls.ts'
import type {Said} from '../ui/dashboard/screen.ts'
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
  agents: () => readonly string[]
}

const cancelledLocally = {status: 'cancelled', error: 'cancelled on this machine'} as const

const signedOnly = new ExpectedError('This worker runs signed tasks only (verify_tasks).', {
  code: 'SIGNED_ONLY',
  exit: 'refused',
  suggestions: ['Create the task with: a2a-worker tasks create --sign'],
})

const requestMs = 20_000

/** How long a person waits for what becomes of an input. */
const inputMs = 3000

/** What socket and dashboard can do with tasks. Both show the reason if it fails. */
const taskControls = ({config, worker, client, store}: LocalControlContext) => ({
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
  async say(taskId: string, {question, option, text}: Said): Promise<string> {
    const asked = store
      .get()
      .tasks.find(({id}) => id === taskId)
      ?.questions.find(({id}) => id === question)
    const chosen = asked?.options.find(({id}) => id === option)
    const isRefusal = option === 'deny' || chosen?.kind.startsWith('reject') === true
    if (config.verify_tasks === 'require' && !isRefusal) throw answerSignedOnly
    const input = {id: randomUUID(), question, option, text, mode: 'queue' as const}
    const signal = AbortSignal.timeout(requestMs)
    const sent = await sendInput(taskId, input, {client, clock: systemClock, signal, sign: undefined, waitMs: inputMs})
    if (sent.task) return `Created task ${sent.task.id.slice(0, 8)}: this one has ended.`
    return sent.input.state === 'delivered' ? 'The agent has it.' : 'The agent gets it when its turn ends.'
  },
})

const answerSignedOnly = new ExpectedError('This worker passes on only what is signed (verify_tasks).', {
  code: 'SIGNED_ONLY',
  exit: 'refused',
  suggestions: ['Sign it: a2a-worker tasks answer --key FILE, or tasks say --key FILE'],
})

/** The handlers of the local socket. */
export function socketHandlers(context: LocalControlContext): ControlHandlers {
  const {worker, store, bus, ladder, client, version, containment, agents} = context
  const {runner, registration, workerId} = worker
  const {cancel, create: createTask, say} = taskControls(context)
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
        agents: [...agents()],
      }
      return statusFromView(store.get(), facts, Date.now())
    },
    drain: () => ladder.drainNow(),
    detach: () => ladder.detachNow(),
    setPaused: (isPaused) => worker.setPaused(isPaused),
    cancel,
    createTask,
    say,
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
    ...{cancel: notYet, create: notYet, say: notYet, setPaused: notYet, drain: notYet},
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
