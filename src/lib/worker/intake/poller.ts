import type {ControlPlaneClient} from '../../client/control-plane.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import type {Emit} from '../../events/bus.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {Codebases} from '../registration/codebases.ts'
import type {LinkState} from './link.ts'
import type {Registration} from '../registration/registration.ts'

export type PollerOptions = {
  client: ControlPlaneClient
  registration: Registration
  codebases: Codebases
  clock: Clock
  emit: Emit
  workerId: string
  link: LinkState
  /** While nothing else tells of tasks. */
  pollMs: () => number
  /** `seenAt` is the monotonic time at which the server was asked. */
  onTask: (task: Task, seenAt: number) => void
}

/** While the stream or the broker is well, a poll now and then finds what was not told. */
const safetyPollMs = 30_000
/** The most rows that the existing server lists. */
const fullPage = 100

/** Asks the server for tasks: at once when asked to, now and then anyway, and quickly while there is no better way. */
export class Poller {
  readonly #options: PollerOptions
  #isAsked = false
  #wake = () => {}
  /** Why polling has failed since it last worked. */
  readonly #told = new Set<string>()

  constructor(options: PollerOptions) {
    this.#options = options
  }

  /** Polls as soon as the poll that is under way, if any, is over. */
  soon(): void {
    this.#isAsked = true
    this.#wake()
  }

  /** Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const {link} = this.#options
    while (!signal.aborted) {
      if (!this.#isAsked) await this.#rest(signal)
      this.#isAsked = false
      if (signal.aborted) return
      try {
        await this.#poll(signal)
        this.#told.clear()
        link.set({polls: true}, 'the stream is down')
      } catch (error) {
        if (signal.aborted) return
        this.#complain(messageOf(error))
      }
    }
  }

  async #rest(signal: AbortSignal): Promise<void> {
    const {clock, pollMs, link} = this.#options
    const wake = new AbortController()
    this.#wake = () => wake.abort()
    const isTold = link.value === 'stream' || link.value === 'broker'
    const stop = () => wake.abort()
    signal.addEventListener('abort', stop, {once: true})
    await clock.sleep(isTold ? safetyPollMs : pollMs() * (0.9 + Math.random() * 0.2), wake.signal)
    signal.removeEventListener('abort', stop)
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const {onTask, clock} = this.#options
    const seenAt = clock.monotonic()
    for (const task of await this.#pending(signal)) if (task.status === 'pending') onTask(task, seenAt)
  }

  /**
   * The union, by id, of what the two meanings of `worker_id` in a poll give. The existing server has no second page,
   * so where others' tasks fill the first one each codebase is asked for.
   */
  async #pending(signal: AbortSignal): Promise<Iterable<Task>> {
    const {client, registration, codebases, workerId} = this.#options
    const ask = async (query: {worker_id?: string; codebase_id?: string}) =>
      (await client.tasks({status: 'pending', ...query}, signal)).tasks
    const found = await ask({worker_id: workerId})
    if (registration.has('task-scope')) return found
    const all = await ask({})
    found.push(...all)
    if (all.length >= fullPage) for (const codebase_id of codebases.ids) found.push(...(await ask({codebase_id})))
    return new Map(found.map((task) => [task.id, task])).values()
  }

  /** Each reason is said once, until polling works again. */
  #complain(reason: string): void {
    const {link, emit} = this.#options
    const before = link.value
    link.set({polls: false}, reason)
    if (link.value === before && !this.#told.has(reason)) emit({type: 'notice', level: 'warn', text: reason})
    this.#told.add(reason)
  }
}
