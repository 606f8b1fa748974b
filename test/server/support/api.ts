import type {Route} from '../../../src/lib/protocol/routes.ts'
import {pathTo} from '../../../src/lib/protocol/routes.ts'
import type {Task} from '../../../src/lib/protocol/schemas.ts'

// answers are not typed: the tests check their shape
// oxlint-disable-next-line typescript/no-explicit-any
export type Answer = {status: number; body: any; headers: Headers}
type Extras = {query?: Record<string, string | number>; headers?: Record<string, string>}

/** A plain HTTP client of a control plane. */
export class Api {
  readonly url: string
  readonly #token: string | undefined

  constructor(url: string, token?: string) {
    this.url = url
    this.#token = token
  }

  get headers(): Record<string, string> {
    return this.#token === undefined ? {} : {authorization: `Bearer ${this.#token}`}
  }

  async send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const isRaw = typeof body === 'string' || body instanceof Uint8Array
    const response = await fetch(this.url + path, {
      method,
      headers: {'content-type': 'application/json', ...this.headers, ...headers},
      ...(body === undefined ? {} : {body: isRaw ? body : JSON.stringify(body)}),
    })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.includes('application/json')
    return {status: response.status, body: isJson && text ? JSON.parse(text) : text, headers: response.headers}
  }

  get(route: Route, params: Record<string, string> = {}, {query = {}, headers = {}}: Extras = {}): Promise<Answer> {
    return this.send('GET', pathTo(route, params, query), undefined, headers)
  }

  post(
    route: Route,
    params: Record<string, string>,
    body?: unknown,
    {query = {}, headers = {}}: Extras = {},
  ): Promise<Answer> {
    return this.send('POST', pathTo(route, params, query), body, headers)
  }

  register(worker_id: string, more: object = {}): Promise<Answer> {
    return this.post('registerWorker', {}, {worker_id, name: worker_id, hostname: 'box', ...more})
  }

  /** Registers a worker of our own kind, which uses leases. */
  registerOwn(worker_id: string, more: object = {}): Promise<Answer> {
    return this.register(worker_id, {features: ['lease', 'decline', 'fetch'], ...more})
  }

  async codebase(worker_id: string, path: string, more: object = {}): Promise<string> {
    const {body} = await this.post('codebases', {}, {name: path.slice(1), path, worker_id, ...more})
    return body.codebase.id
  }

  async create(codebase: string, more: object = {}): Promise<Task> {
    const {status, body} = await this.post('codebaseTasks', {codebase}, {title: 'T', prompt: 'do it', ...more})
    if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`)
    return body.task
  }

  async task(task: string): Promise<Task> {
    return (await this.get('task', {task})).body
  }

  claim(task_id: string, worker_id: string): Promise<Answer> {
    return this.post('claim', {}, {task_id}, {query: {worker_id}})
  }

  report(task: string, worker_id: string, status: string, more: object = {}): Promise<Answer> {
    return this.send('PUT', pathTo('taskStatus', {task}), {status, worker_id, ...more})
  }

  output(task: string, worker_id: string, output: string, more: object = {}): Promise<Answer> {
    return this.post('taskOutput', {task}, {worker_id, output, ...more})
  }

  heartbeat(worker: string, running: {id: string; attempt: number}[], free = 2): Promise<Answer> {
    return this.post('heartbeat', {worker}, {running, free})
  }
}
