import {pathTo} from '../../../src/lib/protocol/routes.ts'
import type {SseEvent} from '../../../src/lib/protocol/sse.ts'
import {readEvents} from '../../../src/lib/protocol/sse.ts'
import type {Api} from './api.ts'
import {until} from './plane.ts'

/** An open event stream that collects its events in `events`. */
export class Listener implements AsyncDisposable {
  readonly events: SseEvent[] = []
  readonly response: Response
  isEnded = false
  readonly #abort: AbortController
  readonly #reading: Promise<void>

  private constructor(response: Response, abort: AbortController) {
    this.response = response
    this.#abort = abort
    this.#reading = this.#read()
  }

  static async open(api: Api, path: string, headers: Record<string, string> = {}): Promise<Listener> {
    const abort = new AbortController()
    const options = {headers: {...api.headers, ...headers}, signal: abort.signal}
    return new Listener(await fetch(api.url + path, options), abort)
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- as in api.ts
  data(event: string): any[] {
    return this.events.filter((one) => one.event === event).map(({data}) => JSON.parse(data))
  }

  /** The ids of the tasks that were pushed, in order. */
  get tasks(): string[] {
    return this.data('task_available').map(({id}) => id)
  }

  /** Resolves with the frame when this task is pushed. */
  pushed(id: string): Promise<Record<string, unknown>> {
    return until(() => this.data('task_available').find((task) => task.id === id))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort()
    await this.#reading
  }

  async #read(): Promise<void> {
    try {
      for await (const event of readEvents(this.response.body as unknown as AsyncIterable<Uint8Array>))
        this.events.push(event)
    } catch {
      // the control plane or the test has closed the connection
    }
    this.isEnded = true
  }
}

/** Opens a worker's task stream and waits for its first event. */
export async function openStream(api: Api, worker_id: string, headers: Record<string, string> = {}): Promise<Listener> {
  const listener = await Listener.open(api, pathTo('taskStream', {}, {worker_id}), headers)
  if (listener.response.status === 200) await until(() => listener.events.length > 0)
  return listener
}
