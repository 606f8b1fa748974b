import {once} from 'node:events'
import {createConnection} from 'node:net'
import {createInterface} from 'node:readline'
import * as v from 'valibot'
import {ExpectedError, errorCode} from '../core/errors.ts'
import {parseJson} from '../protocol/parse.ts'
import {
  answerSchema,
  syncedSchema,
  workerStatusSchema,
  type ControlRequest,
  type Synced,
  type WorkerStatus,
} from './messages.ts'

/** Asks the worker at this socket. Undefined when none listens there. Throws ExpectedError when it says no. */
export async function ask(
  path: string,
  request: ControlRequest,
  timeoutMs = 10_000,
): Promise<{value: unknown} | undefined> {
  const socket = createConnection(path)
  socket.setTimeout(timeoutMs, () =>
    socket.destroy(new Error(`the worker did not answer within ${timeoutMs / 1000} s`)),
  )
  try {
    await once(socket, 'connect')
  } catch (error) {
    if (['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }

  socket.write(`${JSON.stringify(request)}\n`)
  try {
    for await (const line of createInterface({input: socket})) {
      const answer = v.parse(answerSchema, parseJson(line))
      if (answer.ok) return {value: answer.value}
      throw new ExpectedError(`The worker says: ${answer.error}.`, {code: 'WORKER_REFUSED', exit: 'failed'})
    }
  } finally {
    socket.destroy()
  }

  return undefined
}

/** A first sync of many sessions takes its time. */
const syncMs = 10 * 60_000

export async function syncByWorker(path: string, all: boolean): Promise<Synced | undefined> {
  const answer = await ask(path, {op: 'sync-sessions', all}, syncMs)
  return answer && v.parse(syncedSchema, answer.value)
}

export async function workerStatus(path: string): Promise<WorkerStatus | undefined> {
  const answer = await ask(path, {op: 'status'})
  return answer && v.parse(workerStatusSchema, answer.value)
}
