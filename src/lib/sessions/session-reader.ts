import {extname} from 'node:path'
import {Worker} from 'node:worker_threads'
import {StorageProblem, type SessionStorage} from '../opencode/storage/session-storage.ts'
import type {QueryName, Queries, Reply, Request, ThreadData} from './session-thread.ts'

/** The thread ends after this time without a query, to save memory. */
const idleMs = 10_000
/** A file system that hangs must not block the sync forever. */
const timeoutMs = 120_000
const maxMegabytes = 512

type Waiting = {resolve: (reply: Reply) => void; reject: (error: unknown) => void; timer: NodeJS.Timeout}

/** An answer of the thread, with a warning if there is one. */
export type Answer<N extends QueryName> = Queries[N]['answer'] & {warning: string | undefined}

/** Reads OpenCode's sessions in a thread, so that neither a long list nor a slow disk blocks the worker. */
export class SessionReader implements AsyncDisposable {
  #data: ThreadData
  readonly #waiting = new Map<number, Waiting>()
  #thread: Worker | undefined
  #idleTimer: NodeJS.Timeout | undefined
  #lastId = 0
  #isOutdated = false

  constructor(data: ThreadData) {
    this.#data = data
  }

  /** Sends a query to the thread. Rejects with StorageProblem, or with the reason of `signal` as soon as it is aborted. */
  async read<N extends QueryName>(
    name: N,
    storage: SessionStorage,
    ask: Queries[N]['ask'],
    signal?: AbortSignal,
  ): Promise<Answer<N>> {
    const reply = await this.#exchange({id: ++this.#lastId, name, storage, ask}, signal)
    if ('bug' in reply) throw new Error(reply.bug)
    if ('problem' in reply)
      throw new StorageProblem(reply.problem.kind, reply.problem.message, reply.problem.suggestions)
    return {...(reply.value as Queries[N]['answer']), warning: reply.warning}
  }

  /** Changes the redaction of all later queries. Queries in progress fail as busy, so that callers repeat them. */
  redactWith({secrets, patterns}: Pick<ThreadData, 'secrets' | 'patterns'>): void {
    this.#data = {...this.#data, secrets, patterns}
    this.#isOutdated = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end(new Error('the reader of sessions was closed'))
  }

  async #exchange(request: Request, signal: AbortSignal | undefined): Promise<Reply> {
    clearTimeout(this.#idleTimer)
    if (this.#isOutdated) void this.#end(new StorageProblem('busy', 'The settings of redaction have changed.'))
    this.#isOutdated = false
    const thread = (this.#thread ??= this.#start())
    thread.ref()
    const {promise, resolve, reject} = Promise.withResolvers<Reply>()
    const timer = setTimeout(() => {
      const {path} = request.storage
      void this.#end(new StorageProblem('busy', `OpenCode's sessions at ${path} were not read in time.`))
    }, timeoutMs)
    const leave = () => reject(signal?.reason)
    signal?.addEventListener('abort', leave, {once: true})
    this.#waiting.set(request.id, {resolve, reject, timer})
    thread.postMessage(request)
    try {
      return await promise
    } finally {
      signal?.removeEventListener('abort', leave)
    }
  }

  #start(): Worker {
    const thread = new Worker(new URL(`./session-thread${extname(import.meta.url)}`, import.meta.url), {
      name: 'sessions',
      workerData: this.#data,
      // Commands of the agent bring their own environment. Nothing else is needed.
      env: {},
      execArgv: [],
      resourceLimits: {maxOldGenerationSizeMb: maxMegabytes},
    })
    thread.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id)
      this.#waiting.delete(reply.id)
      clearTimeout(waiting?.timer)
      waiting?.resolve(reply)
      if (this.#waiting.size > 0) return
      thread.unref()
      this.#idleTimer = setTimeout(() => void this.#end(new Error('not reached')), idleMs).unref()
    })
    thread.on('error', (error) => void this.#end(error, thread))
    return thread
  }

  /** Ends the thread. Open queries fail. The next query starts another thread. */
  async #end(error: unknown, thread = this.#thread): Promise<void> {
    clearTimeout(this.#idleTimer)
    if (thread !== this.#thread) return
    this.#thread = undefined
    for (const {reject, timer} of this.#waiting.values()) {
      clearTimeout(timer)
      reject(error)
    }

    this.#waiting.clear()
    await thread?.terminate()
  }
}
