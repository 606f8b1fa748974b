import {randomUUID} from 'node:crypto'
import {listen, Problem, missing, type Call, type OddAnswer, type Recorded} from './reference/http.ts'
import {shapeA, shapeB, type Chunk, type Codebase, type Task, type Worker} from './reference/records.ts'
import {routesOf} from './reference/routes.ts'
import {Streams} from './reference/streams.ts'

export type ReferenceOptions = {
  /** Required by the routes of `/v1/worker` only. */
  token?: string
  /** Tasks created through MCP are pushed twice, as the original does. */
  pushes?: 1 | 2
  heartbeatMs?: number
}

export type NewTask = {
  title?: string
  prompt: string
  agent_type?: string
  model?: string
  metadata?: Record<string, unknown>
}

/** How much output of a task the original stores. */
const maxChunks = 1000

/**
 * Answers like the existing CodeTether server (rileyseaburg/codetether at ce51a8e), including its defects. All records
 * are in memory. `isStored` marks the ones that the original would also have in its database.
 */
export class ReferenceServer implements AsyncDisposable {
  readonly token: string | undefined
  readonly requests: Recorded[] = []
  readonly workers = new Map<string, Worker>()
  readonly codebases = new Map<string, Codebase>()
  readonly tasks = new Map<string, Task>()
  readonly outputs = new Map<string, Chunk[]>()
  /** Messages of unknown sessions: the original loses them silently. */
  readonly lostMessages: string[] = []
  readonly streams: Streams
  /** Changes the answers to some requests. */
  odd: (call: Recorded) => OddAnswer | undefined = () => undefined
  readonly #sessions = new Set<string>()
  readonly #pushes: number
  #listening: Awaited<ReturnType<typeof listen>> | undefined

  private constructor({token, pushes = 1, heartbeatMs = 30_000}: ReferenceOptions) {
    this.token = token
    this.#pushes = pushes
    this.streams = new Streams(heartbeatMs)
  }

  static async start(options: ReferenceOptions = {}): Promise<ReferenceServer> {
    const server = new ReferenceServer(options)
    await server.#listen(0)
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${this.#listening?.port}`
  }

  async #listen(port: number): Promise<void> {
    this.#listening = await listen(port, routesOf(this), {
      record: (call) => this.requests.push(call),
      odd: (call) => this.odd(call),
    })
  }

  // ------------------------------------------------------------------------------------------- inspection

  /** The requests with this method whose path matches, in order. */
  calls(method: string, path: RegExp): Recorded[] {
    return this.requests.filter((call) => call.method === method && path.test(call.path))
  }

  /** The reported states of a task, in order of arrival. */
  reports(task: string): {status: string; session_id?: string; worker_id: string}[] {
    return this.calls('PUT', new RegExp(`/tasks/${task}/status$`)).map(({body}) => body)
  }

  /** Throws for an unknown task. */
  task(id: string): Task {
    const task = this.tasks.get(id)
    if (!task) throw new Error(`no task ${id}`)
    return task
  }

  output(task: string): string {
    return (this.outputs.get(task) ?? []).map(({output}) => output).join('')
  }

  codebaseId(path: string): string {
    return [...this.codebases.values()].find((codebase) => codebase.path === path)?.id ?? ''
  }

  // ---------------------------------------------------------------------------------------- actions

  /** Like `POST …/trigger`: no title of its own, pushed completely, with its owner's id in the row. */
  trigger(codebaseId: string, {prompt, ...more}: NewTask): Task {
    const title = prompt.length > 80 ? `${prompt.slice(0, 80)}...` : prompt
    const worker = this.codebases.get(codebaseId)?.worker_id ?? null
    const task = this.#add(codebaseId, {title, prompt, ...more}, worker)
    this.streams.push(codebaseId, shapeA(task))
    return task
  }

  /** Like the MCP tool `create_task`: pushed without prompt and metadata. */
  createByMcp(codebaseId: string, task: NewTask): Task {
    const added = this.#add(codebaseId, task, null)
    for (let i = 0; i < this.#pushes; i++) this.streams.push(codebaseId, shapeB(added))
    return added
  }

  /** Creates a task that is not pushed. */
  createSilently(codebaseId: string, task: NewTask): Task {
    return this.#add(codebaseId, task, null)
  }

  push(task: Task, shape: 'A' | 'B'): void {
    this.streams.push(task.codebase_id, shape === 'A' ? shapeA(task) : shapeB(task))
  }

  /** One id per path, for all workers. The last one to register it owns it. */
  registerCodebase(about: {name: string; path: string; description?: string; worker_id: string}): Codebase {
    const path = about.path.replace(/(.)\/+$/, '$1')
    const id = this.codebaseId(path) || randomUUID().slice(0, 8)
    const {name, description = '', worker_id} = about
    // The row has a foreign key: for an unregistered worker it is lost, and the answer is 200 anyway.
    const isStored = this.workers.has(worker_id)
    const codebase = {id, name, path, description, worker_id, isStored}
    this.codebases.set(id, codebase)
    return codebase
  }

  keepOutput(task: string, chunk: Chunk): void {
    const stored = this.outputs.get(task) ?? []
    stored.push(chunk)
    this.outputs.set(task, stored.slice(-maxChunks))
  }

  syncSessions({body}: Call): object {
    if (!body?.worker_id) throw missing('worker_id')
    if (!body.sessions) throw missing('sessions')
    for (const {id} of body.sessions) this.#sessions.add(id)
    return {success: true, sessions_count: body.sessions.length}
  }

  syncMessages({body, params}: Call): object {
    if (!body?.messages) throw missing('messages')
    const {session = ''} = params
    if (!this.#sessions.has(session)) this.lostMessages.push(session)
    return {success: true, messages_count: body.messages.length}
  }

  forgetWorker(id: string): void {
    if (!this.workers.delete(id)) throw new Problem(404, `no worker ${id}`)
  }

  /** The effect of a reconnect that overlaps the end of the old connection: heartbeats, but no tasks. */
  zombie(workerId: string): void {
    this.streams.forget(workerId)
  }

  dropStreams(): void {
    this.streams.drop()
  }

  /** A new process: data in memory is lost, and with `emptied` the database, too. */
  async restart({emptied = false} = {}): Promise<void> {
    const port = this.#listening?.port ?? 0
    await this.#listening?.close()
    this.outputs.clear()
    this.streams.claims.clear()
    for (const [id, {isStored}] of this.codebases) if (emptied || !isStored) this.codebases.delete(id)
    for (const [id, {isStored}] of this.tasks) if (emptied || !isStored) this.tasks.delete(id)
    for (const task of this.tasks.values()) Object.assign(task, {session_id: null, model: null})
    if (emptied) this.workers.clear()
    await this.#listen(port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listening?.close()
  }

  #add(codebaseId: string, {prompt, title = prompt, agent_type = 'build', ...more}: NewTask, worker: string | null) {
    const now = new Date()
    const task: Task = {
      id: randomUUID(),
      codebase_id: codebaseId,
      title,
      prompt,
      agent_type,
      model: more.model ?? null,
      status: 'pending',
      priority: 0,
      metadata: more.metadata ?? {},
      worker_id: worker,
      session_id: null,
      result: null,
      error: null,
      created_at: now,
      started_at: null,
      completed_at: null,
      updated_at: now,
      // The row of a pseudo-codebase breaks a foreign key. Such a task is in memory only, and in no list.
      isStored: this.codebases.get(codebaseId)?.isStored ?? false,
    }
    this.tasks.set(task.id, task)
    return task
  }
}
