import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {retryAfterMs} from '../../client/http.ts'
import {taskStream, type StreamMessage} from '../../client/task-stream.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import {fullJitter} from '../../core/loop.ts'
import type {Emit} from '../../events/bus.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {SignedInput} from '../../protocol/task-input.ts'
import type {Codebases} from '../registration/codebases.ts'
import type {ConnectionState} from './connection.ts'

export type StreamLoopOptions = {
  client: ControlPlaneClient
  codebases: Codebases
  clock: Clock
  emit: Emit
  workerId: string
  instance: string
  name: string
  capabilities: readonly string[]
  /** A stream that is silent for longer counts as dead. */
  silenceMs: number
  connection: ConnectionState
  pollSoon: () => void
  onTask: (task: Task) => void
  onCancel: (taskId: string, attempt: number, reason: string) => void
  /** A person has said something to a task. Null: it must be fetched. */
  onInput: (taskId: string, attempt: number, input: SignedInput | null) => void
  /** The stream is open. */
  onConnected: () => void
  /** Another process has announced itself with the id of this worker. */
  onInstanceCheck: () => void
}

const checkMs = 30_000
const reconnectPauseMs = 300
/** A server may not ask for a longer pause. */
const maxRetryMs = 30_000
/** A stream that ended sooner does not reset the backoff. */
const steadyMs = 10_000

/** Keeps a task stream open: reconnects with backoff, and replaces a stream that the control plane has forgotten. */
export class StreamLoop {
  readonly #options: StreamLoopOptions
  readonly #backoff = fullJitter(1000, 30_000)
  #lastEventId: string | undefined
  /** When the server that has ended the stream wants it again, in ms. */
  #retryMs: number | undefined
  /** Ends the open stream, or the pause before the next one. */
  #interrupt: (reason: string) => void = () => {}

  constructor(options: StreamLoopOptions) {
    this.#options = options
  }

  /** Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#streamLoop(signal), this.#checkLoop(signal)])
  }

  reconnect(reason: string): void {
    this.#interrupt(reason)
  }

  async announceCodebases(): Promise<void> {
    const {client, workerId, codebases, connection} = this.#options
    if (!connection.isStreaming) return // the next stream names them
    try {
      await client.announceCodebases(workerId, codebases.ids)
    } catch {
      this.reconnect('the codebases have changed')
    }
  }

  async #streamLoop(signal: AbortSignal): Promise<void> {
    const {clock, connection, pollSoon} = this.#options
    for (let failures = 0; !signal.aborted;) {
      const startedAt = clock.monotonic()
      const {reason, retryAfter} = await this.#stream(signal)
      if (signal.aborted) return
      const wasSteady = connection.isStreaming && clock.monotonic() - startedAt >= steadyMs
      // Polling counts as working until a poll fails, so that the emitted reason is the stream's. Only the first
      // failure to open a stream is news.
      const isNews = connection.isStreaming || failures === 0
      connection.set({stream: false, ...(isNews ? {polls: true} : {})}, reason)
      pollSoon()
      const isInvited = this.#retryMs !== undefined
      failures = isInvited ? 0 : wasSteady ? 1 : failures + 1
      const pause = isInvited ? this.#retryPause() : Math.max(reconnectPauseMs + this.#backoff(failures), retryAfter)
      if (await this.#pause(pause, signal)) failures = 0
    }
  }

  /** All workers of a server get the same time, so each adds some. */
  #retryPause(): number {
    const ms = Math.min(this.#retryMs ?? 0, maxRetryMs)
    this.#retryMs = undefined
    return ms * (1 + 2 * Math.random())
  }

  /** Waits before the next stream. Resolves with whether `reconnect` ended the pause early. */
  async #pause(ms: number, signal: AbortSignal): Promise<boolean> {
    const wake = new AbortController()
    const stop = () => wake.abort()
    this.#interrupt = stop
    signal.addEventListener('abort', stop, {once: true})
    await this.#options.clock.sleep(ms, wake.signal)
    signal.removeEventListener('abort', stop)
    return wake.signal.aborted
  }

  /** Reads one stream until it ends. Resolves with the reason why it ended, and how long the server asks to wait. */
  async #stream(signal: AbortSignal): Promise<{reason: string; retryAfter: number}> {
    const {client, workerId, instance, name, capabilities, silenceMs, connection, pollSoon} = this.#options
    const own = new AbortController()
    const stop = () => own.abort(signal.reason)
    let interruption = ''
    this.#interrupt = (reason) => {
      interruption = reason
      own.abort()
    }
    signal.addEventListener('abort', stop, {once: true})
    try {
      const codebases = this.#options.codebases.ids
      const request = {workerId, instance, name, codebases, capabilities, silenceMs, lastEventId: this.#lastEventId}
      for await (const message of taskStream(client.http, {
        ...request,
        signal: own.signal,
        onId: (id) => (this.#lastEventId = id),
        onRetry: (ms) => (this.#retryMs = ms),
      })) {
        if (message.type === 'connected') {
          connection.set({stream: true}, 'connected')
          pollSoon()
          this.#options.onConnected()
        } else this.#handle(message)
      }

      return {reason: 'the server ended the stream', retryAfter: 0}
    } catch (error) {
      return {reason: interruption || messageOf(error), retryAfter: retryAfterMs(error)}
    } finally {
      signal.removeEventListener('abort', stop)
      own.abort()
    }
  }

  #handle(message: StreamMessage): void {
    const {onTask, onCancel, onInput, onInstanceCheck, emit} = this.#options
    if (message.type === 'task') onTask(message.task)
    else if (message.type === 'cancel') onCancel(message.taskId, message.attempt, message.reason)
    else if (message.type === 'input') onInput(message.taskId, message.attempt, message.input)
    else if (message.type === 'instance-check') onInstanceCheck()
    else if (message.type === 'malformed')
      emit({type: 'notice', level: 'warn', text: `Ignored a malformed message on the task stream: ${message.detail}`})
  }

  /** A stream that the control plane has forgotten still carries heartbeats, but no tasks. */
  async #checkLoop(signal: AbortSignal): Promise<void> {
    const {client, workerId, clock, connection} = this.#options
    while (!signal.aborted) {
      await clock.sleep(checkMs, signal)
      if (signal.aborted || !connection.isStreaming) continue
      const connected = await client.isConnected(workerId, signal).catch(() => undefined)
      if (connected === false && connection.isStreaming) this.reconnect('the server does not know this stream any more')
    }
  }
}
