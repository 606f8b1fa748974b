import type {ControlPlaneClient} from '../client/control-plane.ts'
import {taskStream, type StreamMessage} from '../client/task-stream.ts'
import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import {fullJitter} from '../core/loop.ts'
import type {Emit} from '../events/bus.ts'
import type {Link} from '../events/worker-event.ts'
import type {Task} from '../protocol/schemas.ts'
import type {Registration} from './registration.ts'

export type IntakeOptions = {
  client: ControlPlaneClient
  registration: Registration
  clock: Clock
  emit: Emit
  workerId: string
  name: string
  capabilities: readonly string[]
  pollMs: number
  silenceMs: number
  /** `seenAt` is the monotonic time at which the server was asked; a push is of now. */
  onTask: (task: Task, source: 'stream' | 'poll', seenAt: number) => void
  onCancel: (taskId: string, attempt: number, reason: string) => void
}

/** While the stream is well, a poll now and then finds what a server forgot to push. */
const safetyPollMs = 30_000
const zombieCheckMs = 30_000
const reconnectPauseMs = 300
/** A stream that ends before this is no sign that the next one will hold. */
const steadyMs = 10_000
/** The most rows that the existing server lists. */
const fullPage = 100

/** Two wake-up sources for one worker: the stream, and polling, which rests while the stream is healthy. */
export class Intake {
  readonly #options: IntakeOptions
  readonly #backoff = fullJitter(1000, 30_000)
  #link: Link = 'down'
  #streamOpen = false
  #lastEventId: string | undefined
  #wakePoll = () => {}
  #pollAsked = false
  #dropStream: (reason: string) => void = () => {}
  /** Why polling has failed since it last worked. */
  readonly #told = new Set<string>()

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  get link(): Link {
    return this.#link
  }

  /** Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#streamLoop(signal), this.#pollLoop(signal), this.#zombieLoop(signal)])
  }

  /** Asks the server for tasks now: a slot became free, or something may have been missed. */
  pollSoon(): void {
    this.#pollAsked = true
    this.#wakePoll()
  }

  /** Opens the stream anew, with the codebases as they are now. */
  reconnect(reason: string): void {
    this.#dropStream(reason)
  }

  async #streamLoop(signal: AbortSignal): Promise<void> {
    const {clock} = this.#options
    for (let failures = 0; !signal.aborted;) {
      const startedAt = clock.monotonic()
      const reason = await this.#stream(signal)
      if (signal.aborted) return
      const wasSteady = this.#streamOpen && clock.monotonic() - startedAt >= steadyMs
      this.#streamOpen = false
      this.#setLink('poll', reason)
      this.pollSoon()
      failures = wasSteady ? 1 : failures + 1
      await clock.sleep(reconnectPauseMs + this.#backoff(failures), signal)
    }
  }

  /** One stream from its opening to its end; answers with why it ended. */
  async #stream(signal: AbortSignal): Promise<string> {
    const {client, registration, workerId, name, capabilities, silenceMs} = this.#options
    const own = new AbortController()
    const stop = () => own.abort(signal.reason)
    let dropped = ''
    this.#dropStream = (reason) => {
      dropped = reason
      own.abort()
    }
    signal.addEventListener('abort', stop, {once: true})
    try {
      const codebases = registration.codebaseIds
      const about = {workerId, name, codebases, capabilities, silenceMs, lastEventId: this.#lastEventId}
      for await (const message of taskStream(client.http, {
        ...about,
        signal: own.signal,
        onId: (id) => (this.#lastEventId = id),
      })) {
        if (message.type === 'connected') {
          this.#streamOpen = true
          this.#setLink('stream', 'connected')
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

  async #pollLoop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (!this.#pollAsked) await this.#restUntilPoll(signal)
      this.#pollAsked = false
      if (signal.aborted) return
      try {
        await this.#poll(signal)
        this.#told.clear()
        if (!this.#streamOpen) this.#setLink('poll', 'the stream is down')
      } catch (error) {
        if (signal.aborted) return
        this.#complain(messageOf(error))
      }
    }
  }

  async #restUntilPoll(signal: AbortSignal): Promise<void> {
    const {clock, pollMs} = this.#options
    const wake = new AbortController()
    this.#wakePoll = () => wake.abort()
    const interval = this.#streamOpen ? safetyPollMs : pollMs * (0.9 + Math.random() * 0.2)
    const stop = () => wake.abort()
    signal.addEventListener('abort', stop, {once: true})
    await clock.sleep(interval, wake.signal)
    signal.removeEventListener('abort', stop)
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const {onTask, clock} = this.#options
    const seenAt = clock.monotonic()
    for (const task of await this.#pending(signal)) if (task.status === 'pending') onTask(task, 'poll', seenAt)
  }

  /**
   * The union, by id, of what the two meanings of `worker_id` in a poll give. The existing server has no second page,
   * so where others' tasks fill the first one each codebase is asked for.
   */
  async #pending(signal: AbortSignal): Promise<Iterable<Task>> {
    const {client, registration, workerId} = this.#options
    const ask = async (query: {worker_id?: string; codebase_id?: string}) =>
      (await client.tasks({status: 'pending', ...query}, signal)).tasks
    const found = await ask({worker_id: workerId})
    if (registration.has('task-scope')) return found
    const all = await ask({})
    found.push(...all)
    if (all.length >= fullPage)
      for (const codebase_id of registration.codebaseIds) found.push(...(await ask({codebase_id})))
    return new Map(found.map((task) => [task.id, task])).values()
  }

  /** A stream that the server has forgotten goes on with heartbeats and brings no tasks. */
  async #zombieLoop(signal: AbortSignal): Promise<void> {
    const {client, workerId, clock} = this.#options
    while (!signal.aborted) {
      await clock.sleep(zombieCheckMs, signal)
      if (signal.aborted || !this.#streamOpen) continue
      const connected = await client.isConnected(workerId, signal).catch(() => undefined)
      if (connected === false && this.#streamOpen) this.reconnect('the server does not know this stream any more')
    }
  }

  /** Polling fails. Each reason is said once, until it works again. */
  #complain(reason: string): void {
    if (!this.#streamOpen && this.#link !== 'down') this.#setLink('down', reason)
    else if (!this.#told.has(reason)) this.#options.emit({type: 'notice', level: 'warn', text: reason})
    this.#told.add(reason)
  }

  #setLink(link: Link, reason: string): void {
    if (this.#link === link) return
    this.#link = link
    this.#options.emit({type: 'link.changed', link, reason})
  }
}
