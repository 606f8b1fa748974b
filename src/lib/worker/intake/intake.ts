import {listenToBroker, type Wake} from '../../client/task-broker.ts'
import {taskStream, type StreamMessage} from '../../client/task-stream.ts'
import {messageOf} from '../../core/errors.ts'
import {fullJitter} from '../../core/loop.ts'
import type {Link} from '../../events/worker-event.ts'
import type {Task} from '../../protocol/schemas.ts'
import {pendingCodebase} from '../../protocol/routes.ts'
import {LinkState} from './link.ts'
import {Poller, type PollerOptions} from './poller.ts'

export type IntakeOptions = Omit<PollerOptions, 'link' | 'onTask'> & {
  name: string
  capabilities: readonly string[]
  silenceMs: number
  /** The broker that was configured; without one, the server's word is taken. */
  brokerUrl: string | undefined
  /** `seenAt` is the monotonic time at which the server was asked; a push is of now. */
  onTask: (task: Task, source: 'stream' | 'poll', seenAt: number) => void
  onCancel: (taskId: string, attempt: number, reason: string) => void
  /** Somebody says that a task was cancelled: worth a look. */
  onCancelHint: (taskId: string) => void
}

const zombieCheckMs = 30_000
const reconnectPauseMs = 300
/** A stream that ends before this is no sign that the next one will hold. */
const steadyMs = 10_000
/** While the stream is well it tells of the task too: only what it did not tell is asked for. */
const benefitOfDoubtMs = 500
const brokerCheckMs = 60_000

/** Three ways to hear of tasks: the stream, the broker's announcements, and polling, which rests while one of them is well. */
export class Intake {
  readonly #options: IntakeOptions
  readonly #backoff = fullJitter(1000, 30_000)
  readonly #link: LinkState
  readonly #poller: Poller
  #lastEventId: string | undefined
  #dropStream: (reason: string) => void = () => {}

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#link = new LinkState(options.emit)
    this.#poller = new Poller({
      ...options,
      link: this.#link,
      onTask: (task, seenAt) => options.onTask(task, 'poll', seenAt),
    })
  }

  get link(): Link {
    return this.#link.value
  }

  /** Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#streamLoop(signal),
      this.#poller.run(signal),
      this.#zombieLoop(signal),
      this.#brokerLoop(signal),
    ])
  }

  /** Asks the server for tasks now: a slot became free, or something may have been missed. */
  pollSoon(): void {
    this.#poller.soon()
  }

  /** Opens the stream anew, with codebases and token as they are now; also where it waits for its next try. */
  reconnect(reason: string): void {
    this.#dropStream(reason)
  }

  /** Tells the server the codebases as they are now: by the open stream where that works, else by a new one. */
  async announce(): Promise<void> {
    const {client, workerId, codebases} = this.#options
    if (!this.#link.isStreaming) return // the next one names them
    try {
      await client.announceCodebases(workerId, codebases.ids)
    } catch {
      this.reconnect('the codebases have changed')
    }
  }

  // -------------------------------------------------------------------------------------------------- stream

  async #streamLoop(signal: AbortSignal): Promise<void> {
    const {clock} = this.#options
    for (let failures = 0; !signal.aborted;) {
      const startedAt = clock.monotonic()
      const reason = await this.#stream(signal)
      if (signal.aborted) return
      const wasSteady = this.#link.isStreaming && clock.monotonic() - startedAt >= steadyMs
      // Polling works until a poll says otherwise, and the reason is the stream's. That it cannot be opened is no news.
      const isNews = this.#link.isStreaming || failures === 0
      this.#link.set({stream: false, ...(isNews ? {polls: true} : {})}, reason)
      this.pollSoon()
      failures = wasSteady ? 1 : failures + 1
      if (await this.#pause(reconnectPauseMs + this.#backoff(failures), signal)) failures = 0
    }
  }

  /** Between two streams; resolves with whether somebody wanted the next one sooner. */
  async #pause(ms: number, signal: AbortSignal): Promise<boolean> {
    const wake = new AbortController()
    const stop = () => wake.abort()
    this.#dropStream = stop
    signal.addEventListener('abort', stop, {once: true})
    await this.#options.clock.sleep(ms, wake.signal)
    signal.removeEventListener('abort', stop)
    return wake.signal.aborted
  }

  /** One stream from its opening to its end; answers with why it ended. */
  async #stream(signal: AbortSignal): Promise<string> {
    const {client, workerId, name, capabilities, silenceMs} = this.#options
    const own = new AbortController()
    const stop = () => own.abort(signal.reason)
    let dropped = ''
    this.#dropStream = (reason) => {
      dropped = reason
      own.abort()
    }
    signal.addEventListener('abort', stop, {once: true})
    try {
      const codebases = this.#options.codebases.ids
      const about = {workerId, name, codebases, capabilities, silenceMs, lastEventId: this.#lastEventId}
      for await (const message of taskStream(client.http, {
        ...about,
        signal: own.signal,
        onId: (id) => (this.#lastEventId = id),
      })) {
        if (message.type === 'connected') {
          this.#link.set({stream: true}, 'connected')
          this.pollSoon()
        } else this.#take(message)
      }

      return 'the server ended the stream'
    } catch (error) {
      return dropped || messageOf(error)
    } finally {
      signal.removeEventListener('abort', stop)
      own.abort()
    }
  }

  /** Hands on what the stream said. */
  #take(message: StreamMessage): void {
    const {onTask, onCancel, emit, clock} = this.#options
    if (message.type === 'task') onTask(message.task, 'stream', clock.monotonic())
    else if (message.type === 'cancel') onCancel(message.taskId, message.attempt, message.reason)
    else if (message.type === 'malformed')
      emit({type: 'notice', level: 'warn', text: `The stream sent something odd: ${message.detail}`})
  }

  /** A stream that the server has forgotten goes on with heartbeats and brings no tasks. */
  async #zombieLoop(signal: AbortSignal): Promise<void> {
    const {client, workerId, clock} = this.#options
    while (!signal.aborted) {
      await clock.sleep(zombieCheckMs, signal)
      if (signal.aborted || !this.#link.isStreaming) continue
      const connected = await client.isConnected(workerId, signal).catch(() => undefined)
      if (connected === false && this.#link.isStreaming) this.reconnect('the server does not know this stream any more')
    }
  }

  // -------------------------------------------------------------------------------------------------- broker

  /** The broker that was configured, or the one that the server announces, should it ever announce one. */
  async #brokerLoop(signal: AbortSignal): Promise<void> {
    const {brokerUrl, registration, clock, emit} = this.#options
    while (!signal.aborted) {
      const url = brokerUrl ?? registration.brokerUrl
      if (url === undefined) {
        await clock.sleep(brokerCheckMs, signal)
        continue
      }

      await listenToBroker({
        url,
        signal,
        onWake: (wake) => void this.#wake(wake, signal),
        onState: (isUp, reason) => {
          emit({type: 'broker.changed', isUp, reason})
          this.#link.set({broker: isUp}, isUp ? 'the broker tells of tasks' : `the broker is lost: ${reason}`)
          if (isUp) this.pollSoon() // what was announced meanwhile was not heard
        },
      })
    }
  }

  async #wake({type, taskId, codebaseId}: Wake, signal: AbortSignal): Promise<void> {
    const {codebases, clock, onCancelHint} = this.#options
    if (type === 'cancelled') return onCancelHint(taskId)
    if (codebaseId !== pendingCodebase && codebases.pathOf(codebaseId) === undefined) return
    if (this.#link.isStreaming) await clock.sleep(benefitOfDoubtMs, signal)
    this.pollSoon()
  }
}
