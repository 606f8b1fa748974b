import type {ControlRequest} from '../../control/messages.ts'
import {sendRequest, watchWorker} from '../../control/socket-client.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import type {Controls} from './controls.ts'
import {viewFromStatus} from '../view/snapshot.ts'
import type {ViewStore} from '../view/view-store.ts'
import type {View} from '../view/view.ts'

const retryMs = 500

export type AttachOptions = {socket: string; store: ViewStore; clock: Clock; signal: AbortSignal}

/** Updates the store from the worker at this socket until aborted. Reconnects when a new worker listens there. */
export async function attach({socket, store, clock, signal}: AttachOptions): Promise<void> {
  while (!signal.aborted) {
    let reason = 'the worker does not run; waiting for its next start'
    await watchWorker(socket, {
      signal,
      onStatus: (status) => store.replace(viewFromStatus(status, clock.now())),
      onEvent: store.push,
    }).catch((error: unknown) => (reason = messageOf(error)))
    if (signal.aborted) return
    if (!isStoppedFor(store.get(), reason)) store.replace(stoppedView(store.get(), reason, clock.now()))
    await clock.sleep(retryMs, signal)
  }
}

const isStoppedFor = ({phase, link}: View, reason: string) => phase === 'stopped' && link.reason === reason

/** The view of a worker that does not run: it has no active tasks. */
const stoppedView = (view: View, reason: string, now: number): View => ({
  ...view,
  phase: 'stopped',
  startup: null,
  farewell: null,
  isPaused: false,
  tasks: [],
  waiting: [],
  waitingMore: 0,
  link: {value: 'down', since: now, reason},
})

/** Controls for an attached dashboard. They send requests over the socket; `close` closes the dashboard. */
export function socketControls(socket: string, close: () => void): Controls {
  const send = async (request: ControlRequest): Promise<unknown> => {
    const answer = await sendRequest(socket, request)
    if (!answer) throw new Error('The worker does not run.')
    return answer.value
  }
  return {
    cancel: async (taskId) => void (await send({op: 'cancel', task_id: taskId})),
    create: async (codebaseId, prompt) => String(await send({op: 'create-task', codebase_id: codebaseId, prompt})),
    say: async (taskId, {question, option, text}) =>
      String(await send({op: 'say', task_id: taskId, question, option, text})),
    setPaused: async (isPaused) => void (await send({op: isPaused ? 'pause' : 'resume'})),
    drain: async () => void (await send({op: 'drain'})),
    leave: close,
    isDetachable: true,
  }
}
