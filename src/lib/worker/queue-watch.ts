import type {ControlPlaneClient} from '../client/control-plane.ts'
import {parseTime, type Clock} from '../core/clock.ts'
import type {Emit} from '../events/bus.ts'
import type {Task} from '../protocol/schemas.ts'
import type {Codebases} from './registration/codebases.ts'

export type QueueWatchOptions = {client: ControlPlaneClient; codebases: Codebases; clock: Clock; emit: Emit}

const intervalMs = 2000
/** Rows per request. A full page may hide our tasks behind those of other workers. */
const pageRows = 50
const maxCodebases = 20

/** Reads which tasks wait for this worker's codebases, and why. It sends requests only while somebody watches. */
export class QueueWatch {
  readonly #options: QueueWatchOptions
  #watchers = 0
  /** The last event, as JSON. */
  #emitted = ''
  #wake = () => {}

  constructor(options: QueueWatchOptions) {
    this.#options = options
  }

  /** Adds a watcher until disposed. The current queue is emitted again for it. */
  watch(): Disposable {
    this.#watchers += 1
    this.#emitted = ''
    this.#wake()
    return {[Symbol.dispose]: () => void (this.#watchers -= 1)}
  }

  /** Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // Other components report a control plane that does not answer.
      if (this.#watchers > 0) await this.#check(signal).catch(() => {})
      await this.#sleep(signal)
    }
  }

  async #sleep(signal: AbortSignal): Promise<void> {
    const wake = new AbortController()
    this.#wake = () => wake.abort()
    signal.addEventListener('abort', this.#wake, {once: true})
    await this.#options.clock.sleep(this.#watchers > 0 ? intervalMs : 2 ** 30, wake.signal)
    signal.removeEventListener('abort', this.#wake)
  }

  async #check(signal: AbortSignal): Promise<void> {
    const {codebases, emit} = this.#options
    const found = await this.#pending(signal)
    const ours = found.filter(({status, codebase_id: id}) => status === 'pending' && codebases.pathOf(id) !== undefined)
    const tasks = ours.slice(0, pageRows).map(({id, title, waiting, created_at: created, codebase_id: codebase}) => ({
      id,
      title,
      path: codebases.pathOf(codebase) ?? '',
      reason: waiting,
      since: parseTime(created) ?? null,
    }))
    const body = {tasks, more: ours.length - tasks.length}
    if (JSON.stringify(body) === this.#emitted) return
    this.#emitted = JSON.stringify(body)
    emit({type: 'queue.changed', ...body})
  }

  async #pending(signal: AbortSignal): Promise<Task[]> {
    const {client, codebases} = this.#options
    const query = async (filter: {codebase_id?: string}) =>
      (await client.tasks({status: 'pending', limit: pageRows, ...filter}, signal)).tasks
    const all = await query({})
    if (all.length < pageRows) return all
    const pages = await Promise.all(codebases.ids.slice(0, maxCodebases).map((id) => query({codebase_id: id})))
    return pages.flat()
  }
}
