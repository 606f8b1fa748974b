import {systemClock} from '../../core/clock.ts'
import {requestSignal} from '../../core/request-signal.ts'
import type {Task} from '../../protocol/schemas.ts'
import {droppedText, OutputView} from './output-view.ts'
import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {watchTask} from '../../client/watch-task.ts'

export type WaitOptions = {
  client: ControlPlaneClient
  /** Ends the wait, not the task. */
  signal: AbortSignal
  /** Limit of the wait. 0: no limit. */
  timeoutMs: number
  /** Prints each line of output as it arrives. */
  print: ((text: string) => void) | undefined
  /** Prints why the task still waits, and problems with the connection. */
  notify: (text: string) => void
}

export type WaitEnd = {type: 'ended'; task: Task} | {type: 'interrupted'} | {type: 'timeout'}

/** Waits until the task ends, the signal aborts, or the time limit is reached. */
export async function waitForTask(taskId: string, options: WaitOptions): Promise<WaitEnd> {
  const {client, signal, timeoutMs, print, notify} = options
  using limit = timeoutMs > 0 ? requestSignal(signal, timeoutMs) : undefined
  const stop = limit?.signal ?? signal
  const view = print && new OutputView(print)
  let lastReason = ''
  try {
    stop.throwIfAborted()
    const task = await watchTask(taskId, {
      client,
      clock: systemClock,
      signal: stop,
      onOutput: view && ((chunk) => view.add(chunk)),
      onTask: ({waiting}) => {
        if (waiting && waiting !== lastReason && !waiting.startsWith('offered')) notify(`Waiting: ${waiting}`)
        lastReason = waiting ?? lastReason
      },
      onDropped: (bytes) => notify(droppedText(bytes)),
      onTrouble: (reason) => notify(`${reason} Trying again.`),
    })
    view?.end()
    return {type: 'ended', task}
  } catch (error) {
    if (signal.aborted) return {type: 'interrupted'}
    if (stop.aborted) return {type: 'timeout'}
    throw error
  }
}
