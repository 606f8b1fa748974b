// Workers that speak the real protocol, many in one process. Each "runs" a task by sending what an echo agent prints.
import {Agent, request, type Dispatcher} from 'undici'
import {pathTo, routes} from '../../src/lib/protocol/routes.ts'
import {workerFeatures} from '../../src/lib/protocol/features.ts'
import {sleep} from '../support.ts'

type Frame = {id: string; title: string; prompt: string; status: string; attempt: number}
type Registered = {workerId: string; takesAssignments: boolean; codebases: string[]}

export type FleetOptions = {workers: number; codebasesEach: number}

const json = {'content-type': 'application/json'}
/** A task that takes longer is lost. */
const patienceMs = 30_000
const ndjson = {'content-type': 'application/x-ndjson'}

/** The workers of one control plane, and a client that creates tasks for them. */
export class SimulatedWorkers implements AsyncDisposable {
  readonly #url: string
  readonly #creates: string
  readonly #names: string
  readonly #registered: Registered[] = []
  readonly #streams = new AbortController()
  /** One connection for each request at a time, and one for each stream, as workers have them. */
  readonly #agent = new Agent({connections: null, headersTimeout: 60_000, bodyTimeout: 0})
  readonly #waiting = new Map<
    string,
    {createdAt: number; assignedAt: number; ended: () => void; failed: (e: unknown) => void}
  >()
  #created = 0

  /** `creates`: where tasks are created, if that is another control plane than that of the streams. */
  constructor(url: string, {creates = url, names = 'simulated'}: {creates?: string; names?: string} = {}) {
    this.#url = url
    this.#creates = creates
    this.#names = names
  }

  async register({workers, codebasesEach}: FleetOptions): Promise<void> {
    await inParallel(workers, 20, async (i) => {
      const worker_id = `${this.#names}-${i}`
      const answer = await this.#post(routes.registerWorker, '', {
        ...{worker_id, name: worker_id, hostname: 'bench', version: '0', features: workerFeatures},
        ...{capabilities: ['opencode'], models: [], max_concurrent_tasks: codebasesEach},
      })
      const codebases: string[] = []
      for (let n = 0; n < codebasesEach; n++) {
        const body = {name: `c${n}`, path: `/bench/${this.#names}/${i}/${n}`, worker_id}
        const {codebase} = (await this.#post(routes.codebases, worker_id, body)) as {codebase: {id: string}}
        codebases.push(codebase.id)
      }

      const {features} = answer as {features: string[]}
      this.#registered.push({workerId: worker_id, takesAssignments: features.includes('assign'), codebases})
    })
  }

  /** Opens the stream of each worker. */
  async connect(): Promise<void> {
    await inParallel(this.#registered.length, 20, async (i) => {
      const worker = this.#registered[i]
      if (worker) await this.#openStream(worker)
    })
  }

  async #openStream(worker: Registered): Promise<void> {
    const headers = {'x-worker-id': worker.workerId, 'x-codebases': worker.codebases.join()}
    const path = `${routes.taskStream}?worker_id=${worker.workerId}&agent_name=${worker.workerId}`
    const {statusCode, body} = await this.#request('GET', path, {headers, signal: this.#streams.signal})
    if (statusCode !== 200) throw new Error(`the stream was answered with ${statusCode}`)
    const opened = Promise.withResolvers<void>()
    let text = ''
    body.on('data', (chunk: Buffer) => {
      opened.resolve()
      text += String(chunk)
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        this.#readFrame(worker, text.slice(0, end))
        text = text.slice(end + 2)
      }
    })
    body.on('error', () => {}) // aborted at the end
    await opened.promise
  }

  #readFrame(worker: Registered, frame: string): void {
    if (!frame.includes('event: task_available\n')) return
    const task = JSON.parse(frame.slice(frame.indexOf('data: ') + 6)) as Frame
    const waiting = this.#waiting.get(task.title)
    if (!waiting) throw new Error(`nobody waits for ${task.title}`)
    waiting.assignedAt = performance.now()
    this.#echo(worker, task).then(waiting.ended, waiting.failed)
  }

  /** Confirms or claims the task, sends its output, and reports its end. */
  async #echo({workerId, takesAssignments}: Registered, {id: task_id, status, attempt, prompt}: Frame): Promise<void> {
    const isAssigned = takesAssignments && status === 'assigned'
    await this.#post(routes.claim, workerId, isAssigned ? {task_id, attempt} : {task_id})
    const line = `${JSON.stringify({type: 'text', part: {text: prompt}})}\n`
    const position = {worker_id: workerId, attempt, offset: 0, length: line.length}
    await this.#send('POST', pathTo('taskOutput', {task: task_id}, position), line, ndjson)
    const end = {worker_id: workerId, attempt, status: 'completed', session_id: 'ses_bench', result: prompt}
    await this.#send('PUT', pathTo('taskStatus', {task: task_id}), JSON.stringify(end), json)
  }

  /** Creates tasks until `tasks` have ended, one at a time in each of `inFlight` codebases. Returns the time of each from creation to its frame, in ms. */
  async run(tasks: number, inFlight: number): Promise<{ms: number; waits: number[]}> {
    const codebases = this.#registered.flatMap((worker) => worker.codebases)
    const waits: number[] = []
    const begun = performance.now()
    let left = tasks
    const lane = async (first: number) => {
      for (let at = first; left-- > 0; at = at + inFlight < codebases.length ? at + inFlight : first)
        waits.push(await this.#oneTask(codebases[at] ?? ''))
    }
    await Promise.all(Array.from({length: Math.min(inFlight, codebases.length)}, (_, i) => lane(i)))
    return {ms: performance.now() - begun, waits}
  }

  async #oneTask(codebase: string): Promise<number> {
    const title = `echo ${++this.#created}`
    const {promise, resolve, reject} = Promise.withResolvers<void>()
    const waiting = {createdAt: performance.now(), assignedAt: 0, ended: resolve, failed: reject}
    this.#waiting.set(title, waiting)
    const task = {title, prompt: 'x'.repeat(200), agent_type: 'echo'}
    const late = setTimeout(() => reject(new Error(`${title} does not end`)), patienceMs)
    try {
      await Promise.all([promise, this.#post(this.#creates + pathTo('codebaseTasks', {codebase}), '', task)])
    } finally {
      clearTimeout(late)
      this.#waiting.delete(title)
    }

    return waiting.assignedAt - waiting.createdAt
  }

  /** For each worker sends one request within `ms`, evenly spread: a heartbeat, or a bare health check. */
  async beat(kind: 'heartbeat' | 'health', ms: number): Promise<void> {
    const sent: Promise<unknown>[] = []
    const begun = performance.now()
    for (const [i, {workerId}] of this.#registered.entries()) {
      const early = begun + (i * ms) / this.#registered.length - performance.now()
      if (early > 0) await sleep(early)
      const beat = () => this.#post(pathTo('heartbeat', {worker: workerId}), workerId, {running: [], free: 1})
      sent.push(kind === 'heartbeat' ? beat() : this.#send('GET', routes.health))
    }

    await Promise.all(sent)
  }

  #post(path: string, workerId: string, body: unknown): Promise<unknown> {
    const headers = workerId === '' ? json : {...json, 'x-worker-id': workerId}
    return this.#send('POST', path, JSON.stringify(body), headers)
  }

  async #send(method: Dispatcher.HttpMethod, path: string, sent?: string, headers = {}): Promise<unknown> {
    const {statusCode, body} = await this.#request(method, path, sent === undefined ? {headers} : {headers, body: sent})
    const text = await body.text()
    if (statusCode !== 200) throw new Error(`${method} ${path}: ${statusCode} ${text}`)
    return JSON.parse(text)
  }

  #request(method: Dispatcher.HttpMethod, path: string, more: {headers: object; body?: string; signal?: AbortSignal}) {
    return request(path.startsWith('http') ? path : this.#url + path, {
      method,
      dispatcher: this.#agent,
      ...more,
    } as Parameters<typeof request>[1])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#streams.abort()
    await this.#agent.destroy()
  }
}

async function inParallel(count: number, width: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  const lane = async () => {
    for (let i = next++; i < count; i = next++) await work(i)
  }
  await Promise.all(Array.from({length: width}, lane))
}
