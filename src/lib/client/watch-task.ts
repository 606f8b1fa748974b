import * as v from 'valibot'
import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import {parseJson} from '../protocol/parse.ts'
import {isFinal, outputChunkSchema, type OutputChunk, type Task} from '../protocol/schemas.ts'
import {readEvents} from '../protocol/sse.ts'
import type {ControlPlaneClient} from './control-plane.ts'
import {isAbsent, isTransient} from './http.ts'
import {readOutput} from './read-output.ts'

export type WatchOptions = {
  client: ControlPlaneClient
  clock: Clock
  signal: AbortSignal
  /** Gets all output in order, each piece once. */
  onOutput?: ((chunk: OutputChunk) => void) | undefined
  /** The task changed, or still waits. */
  onTask?: (task: Task) => void
  /** The server is out of reach for now; we go on trying. */
  onTrouble?: (reason: string) => void
}

const pollMs = 1000

/** Waits for the end of a task, through restarts of the server, and hands over its output on the way. */
export async function watchTask(taskId: string, options: WatchOptions): Promise<Task> {
  const {client, clock, signal, onTrouble} = options
  const cursor = {next: 0}
  for (let troubles = 0; ;) {
    try {
      const task = await client.task(taskId, signal)
      options.onTask?.(task)
      troubles = 0
      if (isFinal(task.status)) {
        await readPages(taskId, cursor, options)
        return task
      }

      await untilNews(taskId, cursor, options)
    } catch (error) {
      if (signal.aborted || !isTransient(error)) throw error
      troubles += 1
      if (troubles === 1) onTrouble?.(messageOf(error))
      await clock.sleep(Math.min(pollMs * troubles, 5000), signal)
      signal.throwIfAborted()
    }
  }
}

/** Follows the stream until the task ends or the stream breaks; looks at the task now and then while it waits. */
async function untilNews(taskId: string, cursor: {next: number}, options: WatchOptions): Promise<void> {
  const {client, clock, signal} = options
  const own = new AbortController()
  const stop = () => own.abort(signal.reason)
  signal.addEventListener('abort', stop, {once: true})
  // While nothing comes, the reason why the task waits may change: look at it again.
  const look = clock.sleep(pollMs * 2, own.signal).then(() => own.abort())
  try {
    const body = await client.openOutput(taskId, cursor.next, own.signal)
    for await (const {event, data, id} of readEvents(body)) {
      if (event === 'done') return
      const chunk = v.safeParse(outputChunkSchema, parseJson(data))
      if (event !== 'output' || !chunk.success) continue
      options.onOutput?.(chunk.output)
      cursor.next = id !== undefined && /^\d+$/.test(id) ? Number(id) : cursor.next + 1
    }

    // An existing server's stream breaks after the first batch: go on by pages.
    await clock.sleep(pollMs, own.signal)
  } catch (error) {
    if (signal.aborted) throw error
    if (isAbsent(error)) await readPages(taskId, cursor, options)
  } finally {
    own.abort()
    await look
    signal.removeEventListener('abort', stop)
  }
}

/** What is left, by pages. */
async function readPages(
  taskId: string,
  cursor: {next: number},
  {client, signal, onOutput}: WatchOptions,
): Promise<void> {
  if (onOutput) cursor.next = await readOutput(client, taskId, onOutput, cursor.next, signal)
}
