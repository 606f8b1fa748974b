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

/** Keeps the view what the worker at this socket says it is, also that of the next process there, until aborted. */
export async function attach({socket, store, clock, signal}: AttachOptions): Promise<void> {
  while (!signal.aborted) {
    let reason = 'it does not run; this waits for its next start'
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

/** A worker that does not run: nothing is in hand. */
const stoppedView = (view: View, reason: string, now: number): View => ({
  ...view,
  phase: 'stopped',
  farewell: null,
  isPaused: false,
  tasks: [],
  waiting: [],
  waitingMore: 0,
  link: {value: 'down', since: now, reason},
})

/** What a dashboard can have done that is not the worker's own; `close` closes it. */
export function socketControls(socket: string, close: () => void): Controls {
  const send = async (request: ControlRequest) => {
    if (!(await sendRequest(socket, request))) throw new Error('The worker does not run.')
  }
  return {
    cancel: (taskId) => send({op: 'cancel', task_id: taskId}),
    setPaused: (isPaused) => send({op: isPaused ? 'pause' : 'resume'}),
    drain: () => send({op: 'drain'}),
    leave: close,
    isDetachable: true,
  }
}
