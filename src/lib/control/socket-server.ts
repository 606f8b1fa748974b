import {chmodSync, mkdirSync, rmSync} from 'node:fs'
import {once} from 'node:events'
import {createServer, type Socket} from 'node:net'
import {dirname} from 'node:path'
import {createInterface} from 'node:readline'
import * as v from 'valibot'
import {cannotWriteError} from '../config/state-directory.ts'
import {messageOf} from '../core/errors.ts'
import type {WorkerEvent} from '../events/worker-event.ts'
import {parseJson} from '../protocol/parse.ts'
import {requestSchema, type ControlRequest, type SyncReport, type WorkerStatus} from './messages.ts'

export type ControlHandlers = {
  status: () => WorkerStatus
  drain: () => void
  /** Leaves at once; agents go on. */
  detach: () => void
  setPaused: (isPaused: boolean) => void
  /** False when the task is not here. */
  cancel: (taskId: string) => boolean
  /** Answers with what came of it, a codebase each; `all`: as if nothing had been sent before. */
  syncSessions: (all: boolean) => Promise<SyncReport>
  addCodebase: (codebase: {name: string; path: string; description: string}) => Promise<void>
  /** Tells of each event until disposed. */
  watch: (listener: (event: WorkerEvent) => void) => Disposable
}

const maxRequestBytes = 64 * 1024
const maxBufferedBytes = 4 * 1024 * 1024
/** Events of so long are one write: agents may say a thousand things a second. */
const batchMs = 50

/** Answers local commands on a unix socket with these permissions. Throws ExpectedError (73). */
export async function serveSocket(path: string, mode: number, handlers: ControlHandlers): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    void handleConnection(socket, handlers)
  })
  try {
    mkdirSync(dirname(path), {recursive: true, mode: 0o700})
    // Whoever holds the name's lock owns the path: what is there is left over.
    rmSync(path, {force: true})
    server.listen(path)
    await once(server, 'listening')
    chmodSync(path, mode)
  } catch (error) {
    throw cannotWriteError(path, error)
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
    // A reader that does not read is let go rather than remembered.
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
      if (!request.success) send({ok: false, error: 'not a request that this worker knows'})
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
        return handlers.cancel(request.task_id)
          ? {ok: true}
          : {ok: false, error: `task ${request.task_id} does not run here`}
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
