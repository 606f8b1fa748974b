import {once} from 'node:events'
import {createConnection, type Socket} from 'node:net'
import {createInterface} from 'node:readline'
import * as v from 'valibot'
import {ExpectedError, errorCode} from '../core/errors.ts'
import {workerEventSchema, type WorkerEvent} from '../events/worker-event.ts'
import {describeIssues, parseJson} from '../protocol/parse.ts'
import {checkShortFolder} from './short-folder.ts'
import {openProof} from './peer-proof.ts'
import {
  answerSchema,
  syncReportSchema,
  workerStatusSchema,
  type ControlRequest,
  type SyncReport,
  type WorkerStatus,
} from './messages.ts'

const answerTimeoutMs = 10_000

/**
 * Sends one request to the worker at this socket. Returns undefined if no worker listens there. Throws ExpectedError if
 * the worker refuses (1) or does not answer in time (75).
 */
export async function sendRequest(
  path: string,
  request: ControlRequest,
  timeoutMs = answerTimeoutMs,
): Promise<{value: unknown} | undefined> {
  const socket = await connect(path, timeoutMs)
  if (!socket) return undefined
  socket.write(`${JSON.stringify(request)}\n`)
  let proof: Disposable | undefined
  try {
    for await (const line of createInterface({input: socket})) {
      const answer = parseWith(answerSchema, parseJson(line))
      if (answer.ok) return {value: answer.value}
      if (answer.prove === undefined || proof) throw refusedError(answer.error)
      proof = openProof(path, answer.prove)
      socket.write(`${JSON.stringify({pid: process.pid})}\n`)
    }
  } finally {
    proof?.[Symbol.dispose]()
    socket.destroy()
  }

  return undefined
}

const refusedError = (reason: string) =>
  new ExpectedError(`The worker refused: ${reason}.`, {code: 'WORKER_REFUSED', exit: 'failed'})

/** Parses an answer of the worker. Throws ExpectedError (75), because another version may answer differently. */
function parseWith<const S extends v.GenericSchema<unknown, unknown>>(schema: S, value: unknown): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value)
  if (parsed.success) return parsed.output
  throw new ExpectedError(`The worker sent an unknown answer: ${describeIssues(parsed.issues)}.`, {
    code: 'WORKER_ANSWER',
    exit: 'temporary',
    suggestions: ['Restart the worker, so that it has the same version as this command.'],
  })
}

/** The first sync of many sessions can take minutes. */
const syncTimeoutMs = 10 * 60_000

/** Makes the worker sync its sessions now. `all`: send everything again. Undefined if no worker listens there. */
export async function requestSync(path: string, all: boolean): Promise<SyncReport | undefined> {
  const answer = await sendRequest(path, {op: 'sync-sessions', all}, syncTimeoutMs)
  return answer && parseWith(syncReportSchema, answer.value)
}

/** The status of the worker at this socket. Undefined if no worker listens there. */
export async function fetchWorkerStatus(path: string): Promise<WorkerStatus | undefined> {
  const answer = await sendRequest(path, {op: 'status'})
  return answer && parseWith(workerStatusSchema, answer.value)
}

export type WatchOptions = {
  /** Ends the watch. */
  signal: AbortSignal
  /** Called once, before any event. */
  onStatus: (status: WorkerStatus) => void
  /** Called for each event after that status. */
  onEvent: (event: WorkerEvent) => void
}

/** Watches the worker at this socket until the connection or the signal ends. Returns false if no worker listens. */
export async function watchWorker(path: string, {signal, onStatus, onEvent}: WatchOptions): Promise<boolean> {
  const socket = await connect(path, answerTimeoutMs)
  if (!socket) return false
  const lines = createInterface({input: socket})
  socket.on('close', () => lines.close())
  const disconnect = () => socket.destroy()
  signal.addEventListener('abort', disconnect, {once: true})
  if (signal.aborted) disconnect()
  // Subscribe first, so that no event is missed. The status already includes events that arrive before it.
  socket.write(`${JSON.stringify({op: 'events'})}\n${JSON.stringify({op: 'status'})}\n`)
  let hasStatus = false
  try {
    for await (const line of lines) {
      const message = parseJson(line)
      if (hasStatus) {
        const event = v.safeParse(workerEventSchema, message)
        if (event.success) onEvent(event.output) // another version may send events that we do not know
        continue
      }

      const answer = v.safeParse(answerSchema, message)
      if (!answer.success) continue
      if (!answer.output.ok) throw refusedError(answer.output.error)
      onStatus(parseWith(workerStatusSchema, answer.output.value))
      hasStatus = true
      socket.setTimeout(0)
    }
  } finally {
    signal.removeEventListener('abort', disconnect)
    socket.destroy()
  }

  return true
}

async function connect(path: string, timeoutMs: number): Promise<Socket | undefined> {
  checkShortFolder(path)
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
