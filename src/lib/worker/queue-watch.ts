import type {ControlPlaneClient} from '../client/control-plane.ts'
import {parseTime, type Clock} from '../core/clock.ts'
import type {Emit} from '../events/bus.ts'
import type {Task} from '../protocol/schemas.ts'
import type {Codebases} from './registration/codebases.ts'

export type QueueWatchOptions = {client: ControlPlaneClient; codebases: Codebases; clock: Clock; emit: Emit}

const lookMs = 2000
/** The most rows of one look; a full page may hide ours behind those of others. */
const pageRows = 50
const mostCodebases = 20

/** While somebody watches the worker: what waits on the server for its codebases, and why. Nobody watches: no request. */
export class QueueWatch {
  readonly #options: QueueWatchOptions
  #watchers = 0
  #told = ''
  #wake = () => {}

  constructor(options: QueueWatchOptions) {
    this.#options = options
  }

  /** Somebody watches, until disposed; what waits is told to them too, if others know it already. */
  watch(): Disposable {
    this.#watchers += 1
    this.#told = ''
    this.#wake()
    return {[Symbol.dispose]: () => void (this.#watchers -= 1)}
  }

  /** Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // A server that does not answer is told of elsewhere.
      if (this.#watchers > 0) await this.#look(signal).catch(() => {})
      await this.#rest(signal)
    }
  }

  async #rest(signal: AbortSignal): Promise<void> {
    const wake = new AbortController()
    this.#wake = () => wake.abort()
    signal.addEventListener('abort', this.#wake, {once: true})
    await this.#options.clock.sleep(this.#watchers > 0 ? lookMs : 2 ** 30, wake.signal)
    signal.removeEventListener('abort', this.#wake)
  }

  async #look(signal: AbortSignal): Promise<void> {
    const {codebases, emit} = this.#options
    const found = await this.#pending(signal)
    const ours = found.filter(({status, codebase_id: id}) => status === 'pending' && codebases.pathOf(id) !== undefined)
    const tasks = ours.slice(0, pageRows).map(({id, title, waiting, created_at: created}) => ({
      id,
      title,
      reason: waiting,
      since: parseTime(created) ?? null,
    }))
    const body = {tasks, more: ours.length - tasks.length}
    if (JSON.stringify(body) === this.#told) return
    this.#told = JSON.stringify(body)
    emit({type: 'queue.changed', ...body})
  }

  async #pending(signal: AbortSignal): Promise<Task[]> {
    const {client, codebases} = this.#options
    const ask = async (query: {codebase_id?: string}) =>
      (await client.tasks({status: 'pending', limit: pageRows, ...query}, signal)).tasks
    const all = await ask({})
    if (all.length < pageRows) return all
    const pages = await Promise.all(codebases.ids.slice(0, mostCodebases).map((id) => ask({codebase_id: id})))
    return pages.flat()
  }
}
