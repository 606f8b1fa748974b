import {randomUUID} from 'node:crypto'
import {Api} from './api.ts'
import {Listener} from './events.ts'

const agent = 'Python/3.11 aiohttp/3.8.4'

type Options = {token?: string; hangs?: boolean; paths?: string[]; id?: string; name?: string}
type Frame = {id: string; codebase_id: string; agent_type: string; prompt: string; metadata: Record<string, unknown>}

/**
 * Behaves on the wire like the existing Python worker. It never claims, ignores pushed ids that it has seen before, and
 * ignores refusals. Each time a stream has ended, it polls once, without its id. With `hangs` its runs do not end.
 */
export class PythonWorker implements AsyncDisposable {
  readonly id: string
  readonly codebases = new Map<string, string>()
  readonly runs: string[] = []
  readonly refused: string[] = []
  readonly frames: Frame[] = []
  readonly events: string[] = []
  longestLine = 0
  hangs: boolean
  encoding: string | null = null
  readonly #api: Api
  readonly #options: Options
  readonly #known = new Set<string>()
  readonly #work = new Set<Promise<void>>()
  #stream: Listener | undefined
  #isStopped = false

  private constructor(url: string, options: Options) {
    this.#api = new Api(url)
    this.#options = options
    this.hangs = options.hangs ?? false
    this.id = options.id ?? randomUUID().slice(0, 12)
  }

  /** Registers the pseudo-codebase first, then the worker, then its codebases. */
  static async start(url: string, options: Options = {}): Promise<PythonWorker> {
    const worker = new PythonWorker(url, options)
    await worker.registerCodebase('global', '/home/py')
    await worker.register()
    await worker.registerCodebase('app', '/srv/app')
    await worker.#api.send('GET', `/v1/opencode/api-keys/sync?worker_id=${worker.id}`) // it only logs a refusal
    return worker
  }

  async register(): Promise<void> {
    await this.#send('POST', '/v1/opencode/workers/register', {
      worker_id: this.id,
      name: this.#options.name ?? 'py',
      capabilities: ['opencode', 'build', 'deploy', 'test'],
      hostname: 'box',
      models: [{id: 'a/b'}],
      global_codebase_id: this.codebases.get('/home/py'),
    })
  }

  async registerCodebase(name: string, path: string): Promise<string> {
    const body = {name, path, description: '', worker_id: this.id}
    const answer = await this.#send('POST', '/v1/opencode/codebases', body)
    if (!answer.codebase) return '' // refused
    const id: string = answer.codebase.id
    this.codebases.set(path.replace(/\/$/, ''), id)
    return id
  }

  heartbeat = () => this.#send('POST', `/v1/opencode/workers/${this.id}/heartbeat`)
  output = (task: string, output: string) =>
    this.#send('POST', `/v1/opencode/tasks/${task}/output`, {
      worker_id: this.id,
      output,
      timestamp: '2026-01-02T03:04:05',
    })
  report = (task: string, status: string, more: object = {}) =>
    this.#send('PUT', `/v1/opencode/tasks/${task}/status`, {status, worker_id: this.id, ...more})

  syncSessions = (codebase: string, sessions: object[]) =>
    this.#send('POST', `/v1/opencode/codebases/${codebase}/sessions/sync`, {worker_id: this.id, sessions})
  syncMessages = (codebase: string, session: string, messages: object[]) =>
    this.#send('POST', `/v1/opencode/codebases/${codebase}/sessions/${session}/messages/sync`, {
      worker_id: this.id,
      messages,
    })

  /** Opens the stream and keeps it open: when it ends, polls once and connects again. */
  async connect(): Promise<void> {
    const ids = [...this.codebases.values()].join(',')
    const headers = {
      'x-codebases': ids,
      'x-capabilities': 'opencode,build,deploy,test',
      accept: 'text/event-stream',
      'content-type': 'application/json',
      'user-agent': agent,
      ...(this.#options.token ? {authorization: `Bearer ${this.#options.token}`} : {}),
    }
    const path = `/v1/worker/tasks/stream?agent_name=py&worker_id=${this.id}`
    const stream = await Listener.open(this.#api, path, headers)
    this.#stream = stream
    if (stream.response.status !== 200) throw new Error(`stream: ${stream.response.status}`)
    this.encoding = stream.response.headers.get('content-encoding')
    this.#keep(this.#read(stream))
  }

  async poll(): Promise<Frame[]> {
    const answer = await this.#send('GET', '/v1/opencode/tasks?status=pending')
    const tasks: Frame[] = Array.isArray(answer) ? answer : []
    for (const task of tasks) if (this.#isForMe(task)) this.#keep(this.#run(task))
    return tasks
  }

  /** Shuts down without reporting the running tasks. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#stream?.[Symbol.asyncDispose]()
    await Promise.all(this.#work)
    await this.#send('POST', `/v1/opencode/workers/${this.id}/unregister`)
  }

  /** As `kill -9` does: the stream ends, and nothing is reported. */
  async kill(): Promise<void> {
    this.#isStopped = true
    await this.#stream?.[Symbol.asyncDispose]()
    await Promise.all(this.#work)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isStopped) await this.stop().catch(() => {}) // the control plane may be closed already
  }

  #isForMe = ({codebase_id}: Frame) => ['global', '__pending__', ...this.codebases.values()].includes(codebase_id)

  async #read(stream: Listener): Promise<void> {
    for (let at = 0; !this.#isStopped;) {
      for (const event of stream.events.slice(at)) {
        at += 1
        this.events.push(event.event)
        this.longestLine = Math.max(this.longestLine, Buffer.byteLength(event.data) + 'data: \n'.length)
        if (event.event !== 'task_available') continue
        const task = JSON.parse(event.data) as Frame
        this.frames.push(task)
        if (this.#known.has(task.id)) continue
        this.#known.add(task.id)
        if (this.#isForMe(task)) this.#keep(this.#run(task))
      }

      if (stream.isEnded && at === stream.events.length) break
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    await this.#comeBack()
  }

  /** Polls once and connects again, until the control plane answers. */
  async #comeBack(): Promise<void> {
    for (; !this.#isStopped; await new Promise((resolve) => setTimeout(resolve, 20))) {
      try {
        await this.poll()
        return await this.connect()
      } catch {
        // it is down
      }
    }
  }

  /** As if its machine had lost its power: it does nothing any more, and its stream stays half open. */
  freeze(): void {
    this.#isStopped = true
  }

  /** As if the network had dropped the connection. */
  dropStream(): void {
    void this.#stream?.[Symbol.asyncDispose]()
  }

  async #run({id, agent_type, prompt, metadata}: Frame): Promise<void> {
    this.runs.push(id)
    await this.report(id, 'running')
    if (agent_type === 'register_codebase') return this.#registerPath(id, metadata)
    await this.report(id, 'running', {session_id: 'ses_py'})
    if (this.hangs) return
    await this.output(id, 'a line\n')
    await this.report(id, 'completed', {result: `ran: ${prompt}`})
  }

  async #registerPath(id: string, {name, path}: Record<string, unknown>): Promise<void> {
    if (!this.#options.paths?.includes(String(path))) {
      await this.report(id, 'failed', {error: `Path does not exist on this worker: ${String(path)}`})
      return
    }

    const codebase = await this.registerCodebase(String(name), String(path))
    await this.report(id, 'completed', {result: `Codebase registered successfully with ID: ${codebase}`})
  }

  #keep(work: Promise<void>): void {
    const settled = work.catch(() => {}).finally(() => this.#work.delete(settled))
    this.#work.add(settled)
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- as in api.ts
  async #send(method: string, path: string, body?: unknown): Promise<any> {
    const answer = await this.#api.send(method, path, body, {'user-agent': agent})
    const isFine = answer.status === 200 && answer.headers.get('content-type')?.startsWith('application/json')
    if (!isFine) this.refused.push(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }
}
