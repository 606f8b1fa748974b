import {once} from 'node:events'
import {createConnection, type Socket} from 'node:net'
import {createInterface} from 'node:readline'
import * as v from 'valibot'
import {ExpectedError, errorCode} from '../core/errors.ts'
import {workerEventSchema, type WorkerEvent} from '../events/worker-event.ts'
import {describeIssues, parseJson} from '../protocol/parse.ts'
import {
  answerSchema,
  syncedSchema,
  workerStatusSchema,
  type ControlRequest,
  type Synced,
  type WorkerStatus,
} from './messages.ts'

const answerMs = 10_000

/** Asks the worker at this socket. Undefined when none listens there. Throws ExpectedError when it says no. */
export async function ask(
  path: string,
  request: ControlRequest,
  timeoutMs = answerMs,
): Promise<{value: unknown} | undefined> {
  const socket = await connect(path, timeoutMs)
  if (!socket) return undefined
  socket.write(`${JSON.stringify(request)}\n`)
  try {
    for await (const line of createInterface({input: socket})) {
      const answer = understood(answerSchema, parseJson(line))
      if (answer.ok) return {value: answer.value}
      throw refused(answer.error)
    }
  } finally {
    socket.destroy()
  }

  return undefined
}

const refused = (reason: string) =>
  new ExpectedError(`The worker says: ${reason}.`, {code: 'WORKER_REFUSED', exit: 'failed'})

/** Another version of the worker may answer in another way. */
function understood<const S extends v.GenericSchema<unknown, unknown>>(schema: S, value: unknown): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value)
  if (parsed.success) return parsed.output
  throw new ExpectedError(`The worker's answer is not understood: ${describeIssues(parsed.issues)}.`, {
    code: 'WORKER_ANSWER',
    exit: 'temporary',
    suggestions: ['Restart the worker, so that it is of the same version as this command.'],
  })
}

/** A first sync of many sessions takes its time. */
const syncMs = 10 * 60_000

export async function syncByWorker(path: string, all: boolean): Promise<Synced | undefined> {
  const answer = await ask(path, {op: 'sync-sessions', all}, syncMs)
  return answer && understood(syncedSchema, answer.value)
}

export async function workerStatus(path: string): Promise<WorkerStatus | undefined> {
  const answer = await ask(path, {op: 'status'})
  return answer && understood(workerStatusSchema, answer.value)
}

export type Watcher = {
  /** Lets go of the worker. */
  signal: AbortSignal
  /** The worker as it is; first of all, and once. */
  onStatus: (status: WorkerStatus) => void
  /** All that happens from then on. */
  onEvent: (event: WorkerEvent) => void
}

/** Follows the worker at this socket until it ends or lets go of us. False: none listens there. */
export async function watchWorker(path: string, {signal, onStatus, onEvent}: Watcher): Promise<boolean> {
  const socket = await connect(path, answerMs)
  if (!socket) return false
  const lines = createInterface({input: socket})
  socket.on('close', () => lines.close())
  const leave = () => socket.destroy()
  signal.addEventListener('abort', leave, {once: true})
  if (signal.aborted) leave()
  // In this order nothing is missed: events before the answer are in it already.
  socket.write(`${JSON.stringify({op: 'events'})}\n${JSON.stringify({op: 'status'})}\n`)
  let isKnown = false
  try {
    for await (const line of lines) {
      const message = parseJson(line)
      if (isKnown) {
        const event = v.safeParse(workerEventSchema, message)
        if (event.success) onEvent(event.output) // another version may tell more than we know
        continue
      }

      const answer = v.safeParse(answerSchema, message)
      if (!answer.success) continue
      if (!answer.output.ok) throw refused(answer.output.error)
      onStatus(understood(workerStatusSchema, answer.output.value))
      isKnown = true
      socket.setTimeout(0)
    }
  } finally {
    signal.removeEventListener('abort', leave)
    socket.destroy()
  }

  return true
}

async function connect(path: string, timeoutMs: number): Promise<Socket | undefined> {
  const socket = createConnection(path)
  socket.setTimeout(timeoutMs, () =>
    socket.destroy(
      new ExpectedError(`The worker did not answer within ${timeoutMs / 1000} s.`, {
        code: 'WORKER_SILENT',
        exit: 'temporary',
      }),
    ),
  )
  try {
    await once(socket, 'connect')
    return socket
  } catch (error) {
    if (['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}
