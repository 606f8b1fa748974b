import {chmodSync, mkdirSync, rmSync} from 'node:fs'
import {once} from 'node:events'
import {createServer, type Socket} from 'node:net'
import {dirname} from 'node:path'
import {createInterface} from 'node:readline'
import * as v from 'valibot'
import {cannotWriteError} from '../config/state-directory.ts'
import {Cleanup} from '../core/cleanup.ts'
import {ExpectedError, messageOf} from '../core/errors.ts'
import type {WorkerEvent} from '../events/worker-event.ts'
import {parseJson} from '../protocol/parse.ts'
import {makeShortFolder} from './short-folder.ts'
import {hasProc} from '../executor/processes/processes.ts'
import {newNonce, peerProblem} from './peer-proof.ts'
import {readingSocket} from './socket-path.ts'
import {
  isReading,
  proofSchema,
  requestSchema,
  type ControlRequest,
  type SyncReport,
  type WorkerStatus,
} from './messages.ts'

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
  /** Resolves with what happened, for people. */
  say: (taskId: string, said: {question: string | null; option: string | null; text: string | null}) => Promise<string>
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

/**
 * Serves local commands on a unix socket, until disposed. It is private to its user. With `isOpenToGroup`, another one
 * beside it is open to the group, for reading. Throws ExpectedError (73).
 */
export async function serveSocket(
  path: string,
  handlers: ControlHandlers,
  {isOpenToGroup = false} = {},
): Promise<AsyncDisposable> {
  await using opened = new Cleanup()
  opened.use(await listen({path, mode: 0o600, maySteer: true}, handlers))
  if (isOpenToGroup) opened.use(await listen({path: readingSocket(path), mode: 0o660, maySteer: false}, handlers))
  return opened.move()
}

type Place = {path: string; mode: number; maySteer: boolean}

async function listen(place: Place, handlers: ControlHandlers): Promise<AsyncDisposable> {
  const {path, mode} = place
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    void handleConnection(socket, place, handlers)
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

async function handleConnection(socket: Socket, place: Place, handlers: ControlHandlers): Promise<void> {
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
    const mayHandle = steeringGuard(place, send)
    for await (const line of createInterface({input: socket})) {
      const request = mayHandle(parseJson(line))
      if (request?.op === 'events') subscriptions.push(handlers.watch(sendBatched))
      else if (request) send(await handleRequest(request, handlers))
    }
  } catch {
    socket.destroy()
  }
}

/**
 * Returns a function that takes each line of a client, and returns a request that may be handled now. It answers all
 * others: a client that steers must first prove that it is no agent.
 */
function steeringGuard({path, maySteer}: Place, send: (answer: unknown) => void) {
  let waiting: {request: ControlRequest; nonce: string} | undefined
  const refuse = (error: string, more = {}): undefined => {
    send({ok: false, error, ...more})
    return undefined
  }
  const checked = (line: unknown, {request, nonce}: NonNullable<typeof waiting>) => {
    const proof = v.safeParse(proofSchema, line)
    const problem = proof.success ? peerProblem(path, nonce, proof.output.pid) : 'the command proves nothing'
    return problem === undefined ? request : refuse(problem)
  }
  return (line: unknown): ControlRequest | undefined => {
    const before = waiting
    waiting = undefined
    if (before) return checked(line, before)
    const parsed = v.safeParse(requestSchema, line)
    if (!parsed.success) return refuse('unknown request')
    const request = parsed.output
    if (isReading(request)) return request
    if (!maySteer) return refuse(groupText)
    if (!hasProc) return request
    waiting = {request, nonce: newNonce()}
    return refuse('this command is older than the worker', {prove: waiting.nonce})
  }
}

const groupText = 'members of its group may read, not steer; run this as root (sudo)'

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
      case 'say':
        return {ok: true, value: await handlers.say(request.task_id, request)}
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
