import {systemClock} from '../../core/clock.ts'
import {requestSignal} from '../../core/request-signal.ts'
import type {OutputChunk, Task} from '../../protocol/schemas.ts'
import {droppedText} from '../../opencode/output/output-items.ts'
import {OutputView} from './output-view.ts'
import {QuestionPrompt, type Asking} from './question-prompt.ts'
import {StatusLine, type StatusLineOptions} from './status-line.ts'
import {taskProgress} from './task-progress.ts'
import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {watchTask} from '../../client/watch-task.ts'

export type WaitOptions = {
  client: ControlPlaneClient
  /** Ends the wait, not the task. */
  signal: AbortSignal
  /** Limit of the wait. 0: no limit. */
  timeoutMs: number
  /** Prints each line of output for people as it arrives. */
  print?: ((text: string) => void) | undefined
  /** Instead of `print`: called with the output as it arrives. */
  onOutput?: (chunk: OutputChunk) => void
  /** Prints problems with the connection. */
  notify: (text: string) => void
  /** What the task waits for until it is taken, if the caller knows. */
  pending?: (() => string | undefined) | undefined
  /** Where its questions are asked. Undefined: a line says how to answer. */
  asking?: Asking | undefined
  /** Where to show what the task waits for. Undefined: not at all. */
  status: StatusLineOptions['stream'] | undefined
}

export type WaitEnd = {type: 'ended'; task: Task} | {type: 'interrupted'} | {type: 'timeout'}

/** Waits until the task ends, the signal aborts, or the time limit is reached. */
export async function waitForTask(taskId: string, options: WaitOptions): Promise<WaitEnd> {
  const {client, signal, timeoutMs, print} = options
  using limit = timeoutMs > 0 ? requestSignal(signal, timeoutMs) : undefined
  const stop = limit?.signal ?? signal
  using line = options.status && new StatusLine({stream: options.status, clock: systemClock})
  const above = (write: () => void) => (line ? line.print(write) : write())
  const view = print && new OutputView(print)
  const onOutput = view ? (chunk: OutputChunk) => view.add(chunk) : options.onOutput
  const notify = (text: string) => above(() => options.notify(text))
  using questions = new QuestionPrompt({client, notify, line, asking: options.asking, signal: stop})
  const progress = line && taskProgress(line, client, options.pending)
  const onTask = (task: Task) => {
    progress?.(task)
    questions.update(task)
  }
  try {
    stop.throwIfAborted()
    const task = await watchTask(taskId, {
      client,
      clock: systemClock,
      signal: stop,
      onOutput: onOutput && ((chunk) => above(() => onOutput(chunk))),
      onTask,
      onDropped: (bytes) => notify(droppedText(bytes)),
      onTrouble: (reason) => notify(`${reason} Trying again.`),
    })
    await questions.idle()
    above(() => view?.end())
    return {type: 'ended', task}
  } catch (error) {
    if (signal.aborted) return {type: 'interrupted'}
    if (stop.aborted) return {type: 'timeout'}
    throw error
  }
}
