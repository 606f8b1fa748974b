import {extname} from 'node:path'
import {Worker} from 'node:worker_threads'
import {StorageProblem, type SessionStorage} from '../opencode/storage/session-storage.ts'
import type {QuestionName, Questions, Reply, Request, ThreadData} from './session-thread.ts'

/** The thread goes when nothing was asked for so long: an idle worker is to be small. */
const restMs = 10_000
/** A file system that hangs must not keep the sync for ever. */
const patienceMs = 120_000
const mostMegabytes = 512

type Waiting = {resolve: (reply: Reply) => void; reject: (error: unknown) => void; timer: NodeJS.Timeout}

/** Answers of the thread with what it has to warn of. */
export type Answer<N extends QuestionName> = Questions[N]['answer'] & {warning: string | undefined}

/** Reads OpenCode's sessions in a thread of its own, so that neither a long list nor a slow disk stops the worker. */
export class SessionReader implements AsyncDisposable {
  #data: ThreadData
  readonly #waiting = new Map<number, Waiting>()
  #thread: Worker | undefined
  #rest: NodeJS.Timeout | undefined
  #lastId = 0
  #isOutdated = false

  constructor(data: ThreadData) {
    this.#data = data
  }

  /** Rejects with StorageProblem, or, as soon as `signal` is aborted, with its reason. */
  async ask<N extends QuestionName>(
    name: N,
    storage: SessionStorage,
    ask: Questions[N]['ask'],
    signal?: AbortSignal,
  ): Promise<Answer<N>> {
    const reply = await this.#exchange({id: ++this.#lastId, name, storage, ask}, signal)
    if ('bug' in reply) throw new Error(reply.bug)
    if ('problem' in reply)
      throw new StorageProblem(reply.problem.kind, reply.problem.message, reply.problem.suggestions)
    return {...(reply.value as Questions[N]['answer']), warning: reply.warning}
  }

  /** What is asked from now on is redacted so; what is being answered is asked for again by whoever needs it. */
  redactWith({secrets, patterns}: Pick<ThreadData, 'secrets' | 'patterns'>): void {
    this.#data = {...this.#data, secrets, patterns}
    this.#isOutdated = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end(new Error('the reader of sessions was closed'))
  }

  async #exchange(request: Request, signal: AbortSignal | undefined): Promise<Reply> {
    clearTimeout(this.#rest)
    if (this.#isOutdated) void this.#end(new StorageProblem('busy', 'The settings of redaction have changed.'))
    this.#isOutdated = false
    const thread = (this.#thread ??= this.#start())
    thread.ref()
    const {promise, resolve, reject} = Promise.withResolvers<Reply>()
    const timer = setTimeout(() => {
      const {path} = request.storage
      void this.#end(new StorageProblem('busy', `OpenCode's sessions at ${path} were not read in time.`))
    }, patienceMs)
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
      // What the agent may see comes with the commands; nothing else is needed.
      env: {},
      execArgv: [],
      resourceLimits: {maxOldGenerationSizeMb: mostMegabytes},
    })
    thread.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id)
      this.#waiting.delete(reply.id)
      clearTimeout(waiting?.timer)
      waiting?.resolve(reply)
      if (this.#waiting.size > 0) return
      thread.unref()
      this.#rest = setTimeout(() => void this.#end(new Error('not reached')), restMs).unref()
    })
    thread.on('error', (error) => void this.#end(error, thread))
    return thread
  }

  /** Ends the thread; whatever is still asked of it fails. The next question starts another. */
  async #end(error: unknown, thread = this.#thread): Promise<void> {
    clearTimeout(this.#rest)
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
