import * as v from 'valibot'
import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import {requestSignal} from '../core/request-signal.ts'
import {parseJson} from '../protocol/parse.ts'
import {isFinal, outputChunkSchema, type OutputChunk, type Task} from '../protocol/schemas.ts'
import {readEvents} from '../protocol/sse.ts'
import type {ControlPlaneClient} from './control-plane.ts'
import {isTransient, retryAfterMs} from './http.ts'
import {readOutput} from './read-output.ts'

export type WatchOptions = {
  client: ControlPlaneClient
  clock: Clock
  signal: AbortSignal
  /** Called with all output in order, each piece once. */
  onOutput?: ((chunk: OutputChunk) => void) | undefined
  /** Called when output was dropped before it could be read. In bytes, of the whole task so far. */
  onDropped?: (bytes: number) => void
  /** Called when the task has changed, or still waits. */
  onTask?: (task: Task) => void
  /** Called when the server is unreachable. Watching goes on. */
  onTrouble?: (reason: string) => void
}

const pollMs = 1000
const recheckMs = 2000

/** How far the output was read. A new stream can continue only if the events have positions. */
type Cursor = {next: number; streams: 'untried' | 'positioned' | 'unusable'}

/** Waits for the end of a task, through restarts of the server, and passes on its output meanwhile. */
export async function watchTask(taskId: string, options: WatchOptions): Promise<Task> {
  const {client, clock, signal, onTrouble} = options
  const cursor: Cursor = {next: 0, streams: 'untried'}
  for (let troubles = 0; ;) {
    try {
      const task = await client.task(taskId, signal)
      options.onTask?.(task)
      troubles = 0
      if (isFinal(task.status)) {
        await readPages(taskId, cursor, options)
        return task
      }

      await waitForChange(taskId, cursor, options)
      signal.throwIfAborted()
    } catch (error) {
      if (signal.aborted || !isTransient(error)) throw error
      troubles += 1
      if (troubles === 1) onTrouble?.(messageOf(error))
      await clock.sleep(Math.max(Math.min(pollMs * troubles, 5000), retryAfterMs(error)), signal)
      signal.throwIfAborted()
    }
  }
}

/** Resolves when the task ended, or when it should be read again because its waiting reason may have changed. */
async function waitForChange(taskId: string, cursor: Cursor, options: WatchOptions): Promise<void> {
  const {clock, signal} = options
  if (cursor.streams === 'unusable') await readPages(taskId, cursor, options)
  else if (!(await followStream(taskId, cursor, options))) return
  await clock.sleep(pollMs, signal)
}

/**
 * Follows a stream until the task ends, or until the next check is due. Resolves with true if the stream ended before.
 * The existing server's streams end after the first batch, and a new one would begin with that batch again.
 */
async function followStream(taskId: string, cursor: Cursor, options: WatchOptions): Promise<boolean> {
  const {client, signal, onOutput} = options
  using own = requestSignal(signal, recheckMs)
  try {
    for await (const {event, data, id} of readEvents(await client.openOutput(taskId, cursor.next, own.signal))) {
      if (event === 'done' || event === 'questions') return false // the task is read again
      if (event === 'dropped') options.onDropped?.(droppedBytes(data))
      if (event === 'dropped' && id !== undefined) cursor.next = Number(id)
      const chunk = v.safeParse(outputChunkSchema, parseJson(data))
      if (event !== 'output' || !chunk.success) continue
      onOutput?.(chunk.output)
      const hasPosition = id !== undefined && /^\d+$/.test(id)
      cursor.next = hasPosition ? Number(id) : cursor.next + 1
      cursor.streams = hasPosition ? 'positioned' : 'unusable'
    }
  } catch (error) {
    if (signal.aborted) throw error
  }

  const isCheckDue = own.signal.aborted
  if (!isCheckDue && cursor.streams === 'untried') cursor.streams = 'unusable'
  return !isCheckDue
}

function droppedBytes(data: string): number {
  const parsed = v.safeParse(v.object({dropped_bytes: v.number()}), parseJson(data))
  return parsed.success ? parsed.output.dropped_bytes : 0
}

/** Reads the remaining output in pages. */
async function readPages(taskId: string, cursor: Cursor, {client, signal, onOutput}: WatchOptions): Promise<void> {
  if (onOutput) cursor.next = await readOutput(client, taskId, onOutput, cursor.next, signal)
}
