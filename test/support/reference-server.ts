import {randomUUID} from 'node:crypto'
import {listen, Problem, missing, type Call, type OddAnswer, type Recorded} from './reference/http.ts'
import {shapeA, shapeB, type Chunk, type Codebase, type Task, type Worker} from './reference/records.ts'
import {routesOf} from './reference/routes.ts'
import {Streams} from './reference/streams.ts'

export type ReferenceOptions = {
  /** Asked for by the routes of `/v1/worker` only. */
  token?: string
  /** Pushes of tasks that were made through MCP come twice, as the original sends them. */
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

/** What the original keeps of the output of a task. */
const mostOutput = 1000

/**
 * Answers as the existing CodeTether server does (rileyseaburg/codetether at ce51a8e), its defects included; in memory,
 * where `isStored` says what the original would also have in its database.
 */
export class ReferenceServer implements AsyncDisposable {
  readonly token: string | undefined
  readonly requests: Recorded[] = []
  readonly workers = new Map<string, Worker>()
  readonly codebases = new Map<string, Codebase>()
  readonly tasks = new Map<string, Task>()
  readonly outputs = new Map<string, Chunk[]>()
  /** Messages of sessions that nobody had named before: the original loses them without a word. */
  readonly lostMessages: string[] = []
  readonly streams: Streams
  /** Answers some requests in another way. */
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

  // ------------------------------------------------------------------------------------------- looking

  /** The requests with this method whose path matches, in order. */
  calls(method: string, path: RegExp): Recorded[] {
    return this.requests.filter((call) => call.method === method && path.test(call.path))
  }

  /** The states that were reported of a task, in order of arrival. */
  reports(task: string): {status: string; session_id?: string; worker_id: string}[] {
    return this.calls('PUT', new RegExp(`/tasks/${task}/status$`)).map(({body}) => body)
  }

  /** Throws for a task that there is not. */
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

  // ---------------------------------------------------------------------------------------- doing things

  /** As `POST …/trigger` does: no title of its own, pushed whole, with its owner's id in the row. */
  trigger(codebaseId: string, {prompt, ...more}: NewTask): Task {
    const title = prompt.length > 80 ? `${prompt.slice(0, 80)}...` : prompt
    const worker = this.codebases.get(codebaseId)?.worker_id ?? null
    const task = this.#add(codebaseId, {title, prompt, ...more}, worker)
    this.streams.push(codebaseId, shapeA(task))
    return task
  }

  /** As the MCP tool `create_task` does: pushed without prompt and metadata. */
  createByMcp(codebaseId: string, task: NewTask): Task {
    const added = this.#add(codebaseId, task, null)
    for (let i = 0; i < this.#pushes; i++) this.streams.push(codebaseId, shapeB(added))
    return added
  }

  /** A task that no stream hears of. */
  createSilently(codebaseId: string, task: NewTask): Task {
    return this.#add(codebaseId, task, null)
  }

  push(task: Task, shape: 'A' | 'B'): void {
    this.streams.push(task.codebase_id, shape === 'A' ? shapeA(task) : shapeB(task))
  }

  /** One id a path, whoever registers it; the last one owns it. */
  registerCodebase(about: {name: string; path: string; description?: string; worker_id: string}): Codebase {
    const path = about.path.replace(/(.)\/+$/, '$1')
    const id = this.codebaseId(path) || randomUUID().slice(0, 8)
    const {name, description = '', worker_id} = about
    // The row has a foreign key: of a worker that is not registered it is lost, and the answer is 200 all the same.
    const isStored = this.workers.has(worker_id)
    const codebase = {id, name, path, description, worker_id, isStored}
    this.codebases.set(id, codebase)
    return codebase
  }

  keepOutput(task: string, chunk: Chunk): void {
    const kept = this.outputs.get(task) ?? []
    kept.push(chunk)
    this.outputs.set(task, kept.slice(-mostOutput))
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

  /** What a reconnect that overlapped the old connection's end leaves: heartbeats, and no tasks. */
  zombie(workerId: string): void {
    this.streams.forget(workerId)
  }

  dropStreams(): void {
    this.streams.drop()
  }

  /** A new process: what was in memory only is gone, and with `emptied` the database too. */
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
      // The row of a pseudo-codebase breaks a foreign key: such a task is in memory only, and in no list.
      isStored: this.codebases.get(codebaseId)?.isStored ?? false,
    }
    this.tasks.set(task.id, task)
    return task
  }
}
