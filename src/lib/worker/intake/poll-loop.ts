import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {retryAfterMs} from '../../client/http.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import type {Emit} from '../../events/bus.ts'
import {isAssignedTo} from '../../protocol/assignment.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {Codebases} from '../registration/codebases.ts'
import type {ConnectionState} from './connection.ts'
import type {Registration} from '../registration/registration.ts'

export type PollLoopOptions = {
  client: ControlPlaneClient
  registration: Registration
  codebases: Codebases
  clock: Clock
  emit: Emit
  workerId: string
  connection: ConnectionState
  /** The interval while neither stream nor broker works. */
  pollMs: () => number
  /** `seenAt` is the monotonic time at which the control plane was asked. */
  onTask: (task: Task, seenAt: number) => void
}

/** The interval while the stream or the broker works. A poll then finds tasks that were missed. */
const safetyPollMs = 30_000
/** The existing server lists at most this many rows. */
const maxRows = 100

/** Polls for tasks: on request, rarely while another channel works, and often otherwise. */
export class PollLoop {
  readonly #options: PollLoopOptions
  #isRequested = false
  #wake = () => {}
  /** Failures that were reported since polling last worked. */
  readonly #reported = new Set<string>()

  constructor(options: PollLoopOptions) {
    this.#options = options
  }

  /** Polls at once, or as soon as the current poll is over. */
  pollSoon(): void {
    this.#isRequested = true
    this.#wake()
  }

  /** Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const {connection} = this.#options
    while (!signal.aborted) {
      if (!this.#isRequested) await this.#sleep(signal)
      this.#isRequested = false
      if (signal.aborted) return
      try {
        await this.#poll(signal)
        this.#reported.clear()
        connection.set({polls: true}, 'the stream is down')
      } catch (error) {
        if (signal.aborted) return
        this.#reportFailure(messageOf(error))
        await this.#options.clock.sleep(retryAfterMs(error), signal)
      }
    }
  }

  async #sleep(signal: AbortSignal): Promise<void> {
    const {clock, pollMs, connection} = this.#options
    const wake = new AbortController()
    this.#wake = () => wake.abort()
    const hasPush = connection.value === 'stream' || connection.value === 'broker'
    const stop = () => wake.abort()
    signal.addEventListener('abort', stop, {once: true})
    await clock.sleep(hasPush ? safetyPollMs : pollMs() * (0.9 + Math.random() * 0.2), wake.signal)
    signal.removeEventListener('abort', stop)
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const {onTask, clock, workerId} = this.#options
    const seenAt = clock.monotonic()
    for (const task of await this.#pending(signal))
      if (task.status === 'pending' || isAssignedTo(task, workerId)) onTask(task, seenAt)
  }

  /**
   * `worker_id` has two meanings in a poll, depending on the server. This is the union of both answers, by id. The
   * existing server has no second page. If others' tasks fill the first page, each codebase is queried.
   */
  async #pending(signal: AbortSignal): Promise<Iterable<Task>> {
    const {client, registration, codebases, workerId} = this.#options
    const query = async (filter: {worker_id?: string; codebase_id?: string}) =>
      (await client.tasks({status: 'pending', ...filter}, signal)).tasks
    const found = await query({worker_id: workerId})
    if (registration.has('task-scope')) return found
    const all = await query({})
    found.push(...all)
    if (all.length >= maxRows) for (const codebase_id of codebases.ids) found.push(...(await query({codebase_id})))
    return new Map(found.map((task) => [task.id, task])).values()
  }

  /** Reports each reason once, until polling works again. */
  #reportFailure(reason: string): void {
    const {connection, emit} = this.#options
    const before = connection.value
    connection.set({polls: false}, reason)
    if (connection.value === before && !this.#reported.has(reason)) emit({type: 'notice', level: 'warn', text: reason})
    this.#reported.add(reason)
  }
}
