import * as v from 'valibot'
import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import {operation} from '../core/operation.ts'
import {parseJson} from '../protocol/parse.ts'
import {isFinal, outputChunkSchema, type OutputChunk, type Task} from '../protocol/schemas.ts'
import {readEvents} from '../protocol/sse.ts'
import type {ControlPlaneClient} from './control-plane.ts'
import {isTransient} from './http.ts'
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
const lookMs = 2000

/** How far the output was read. Only where a stream's events have positions can another stream go on behind them. */
type Cursor = {next: number; streams: 'untried' | 'positioned' | 'unusable'}

/** Waits for the end of a task, through restarts of the server, and hands over its output on the way. */
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

      await untilNews(taskId, cursor, options)
      signal.throwIfAborted()
    } catch (error) {
      if (signal.aborted || !isTransient(error)) throw error
      troubles += 1
      if (troubles === 1) onTrouble?.(messageOf(error))
      await clock.sleep(Math.min(pollMs * troubles, 5000), signal)
      signal.throwIfAborted()
    }
  }
}

/** Returns when the task ended, or when it is time to look at it again: its reason to wait may have changed. */
async function untilNews(taskId: string, cursor: Cursor, options: WatchOptions): Promise<void> {
  const {clock, signal} = options
  if (cursor.streams === 'unusable') await readPages(taskId, cursor, options)
  else if (!(await breaksOff(taskId, cursor, options))) return
  await clock.sleep(pollMs, signal)
}

/**
 * Follows a stream until the task ends or it is time to look at it. True: it broke off before. The existing server's
 * do so after the first batch, and another one would begin with that again.
 */
async function breaksOff(taskId: string, cursor: Cursor, options: WatchOptions): Promise<boolean> {
  const {client, signal, onOutput} = options
  using own = operation(signal, lookMs)
  try {
    for await (const {event, data, id} of readEvents(await client.openOutput(taskId, cursor.next, own.signal))) {
      if (event === 'done') return false
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

  const isLookDue = own.signal.aborted
  if (!isLookDue && cursor.streams === 'untried') cursor.streams = 'unusable'
  return !isLookDue
}

/** What is left, by pages. */
async function readPages(taskId: string, cursor: Cursor, {client, signal, onOutput}: WatchOptions): Promise<void> {
  if (onOutput) cursor.next = await readOutput(client, taskId, onOutput, cursor.next, signal)
}
