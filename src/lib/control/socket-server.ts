import {chmodSync, mkdirSync, rmSync} from 'node:fs'
import {once} from 'node:events'
import {createServer, type Socket} from 'node:net'
import {dirname} from 'node:path'
import {createInterface} from 'node:readline'
import * as v from 'valibot'
import {cannotWriteError} from '../config/state-directory.ts'
import {ExpectedError, messageOf} from '../core/errors.ts'
import type {WorkerEvent} from '../events/worker-event.ts'
import {parseJson} from '../protocol/parse.ts'
import {makeShortFolder} from './short-folder.ts'
import {requestSchema, type ControlRequest, type SyncReport, type WorkerStatus} from './messages.ts'

export type ControlHandlers = {
  status: () => WorkerStatus
  drain: () => void
  /** Exits at once. Agents keep running. */
  detach: () => void
  setPaused: (isPaused: boolean) => void
  /** Stops a task that runs here, or cancels one that waits. */
  cancel: (taskId: string) => Promise<void>
  /** Creates a task and resolves with its id. */
  createTask: (codebaseId: string, prompt: string) => Promise<string>
  /** `all`: send everything again. */
  syncSessions: (all: boolean) => Promise<SyncReport>
  addCodebase: (codebase: {name: string; path: string; description: string}) => Promise<void>
  /** Calls the listener for each event until disposed. */
  watch: (listener: (event: WorkerEvent) => void) => Disposable
}

const maxRequestBytes = 64 * 1024
const maxBufferedBytes = 4 * 1024 * 1024
/** Events within this time are written together, because agents may print a thousand lines a second. */
const batchMs = 50

/** Serves local commands on a unix socket with this file mode, until disposed. Throws ExpectedError (73). */
export async function serveSocket(path: string, mode: number, handlers: ControlHandlers): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    void handleConnection(socket, handlers)
  })
  try {
    makeShortFolder(path)
    mkdirSync(dirname(path), {recursive: true, mode: 0o700})
    // The lock on the worker's name protects the path, so an existing socket is left over from a dead worker.
    rmSync(path, {force: true})
    server.listen(path)
    await once(server, 'listening')
    chmodSync(path, mode)
  } catch (error) {
    throw error instanceof ExpectedError ? error : cannotWriteError(path, error)
  }

  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

async function handleConnection(socket: Socket, handlers: ControlHandlers): Promise<void> {
  const send = (message: unknown) => {
    if (socket.destroyed) return
    socket.write(`${JSON.stringify(message)}\n`)
    // Disconnect a client that does not read, instead of buffering for it without limit.
    if (socket.writableLength > maxBufferedBytes) socket.destroy()
  }
  const sendBatched = (event: WorkerEvent) => {
    if (socket.writableCorked === 0) {
      socket.cork()
      setTimeout(() => socket.uncork(), batchMs)
    }

    send(event)
  }
  const subscriptions: Disposable[] = []
  socket.on('close', () => {
    for (const listener of subscriptions.splice(0)) listener[Symbol.dispose]()
  })
  socket.on('data', () => {
    if (socket.readableLength > maxRequestBytes) socket.destroy()
  })
  try {
    for await (const line of createInterface({input: socket})) {
      const request = v.safeParse(requestSchema, parseJson(line))
      if (!request.success) send({ok: false, error: 'unknown request'})
      else if (request.output.op === 'events') subscriptions.push(handlers.watch(sendBatched))
      else send(await handleRequest(request.output, handlers))
    }
  } catch {
    socket.destroy()
  }
}

async function handleRequest(request: Exclude<ControlRequest, {op: 'events'}>, handlers: ControlHandlers) {
  try {
    switch (request.op) {
      case 'status':
        return {ok: true, value: handlers.status()}
      case 'drain':
        handlers.drain()
        return {ok: true}
      case 'detach':
        handlers.detach()
        return {ok: true}
      case 'pause':
      case 'resume':
        handlers.setPaused(request.op === 'pause')
        return {ok: true}
      case 'cancel':
        await handlers.cancel(request.task_id)
        return {ok: true}
      case 'create-task':
        return {ok: true, value: await handlers.createTask(request.codebase_id, request.prompt)}
      case 'sync-sessions':
        return {ok: true, value: await handlers.syncSessions(request.all)}
      case 'add-codebase':
        await handlers.addCodebase(request)
        return {ok: true}
    }
  } catch (error) {
    return {ok: false, error: messageOf(error)}
  }
}
