import {type AgentMessage, type Fields, notificationLine, requestLine, type RpcError} from '../../acp/message.ts'
import type {AgentStdin} from './agent-stdin.ts'
import type {SentLog} from './sent-log.ts'

/** An agent has answered a request with an error. */
export class AgentRefusal extends Error {
  readonly method: string
  readonly error: RpcError

  constructor(method: string, error: RpcError) {
    super(error.message)
    this.method = method
    this.error = error
  }
}

/** The agent has ended, or is to end: nothing more can be said to it. */
export class ChannelClosed extends Error {}

type Reply = {type: 'result'; result: Fields} | {type: 'failure'; error: RpcError}
type Waiting = {method: string; settle: (reply: Reply) => void; close: () => void}

/** No JSON text ends like this, so it spoils what a killed worker has begun to write. */
const spoiler = '#\n'

/**
 * The conversation with an agent, as requests and their answers. It is repeatable: a request that an earlier process
 * has sent is not sent again, and an answer that it has received is found in the output of the agent.
 */
export class AgentChannel {
  readonly #log: SentLog
  readonly #stdin: AgentStdin
  readonly #signal: AbortSignal
  readonly #replies = new Map<string, Reply>()
  readonly #waiting = new Map<string, Waiting>()
  #writing: Promise<void>

  /** `signal`: nothing more is written. */
  constructor(log: SentLog, stdin: AgentStdin, signal: AbortSignal) {
    this.#log = log
    this.#stdin = stdin
    this.#signal = signal
    this.#writing = this.#endLine()
    signal.addEventListener('abort', () => this.#close(), {once: true})
  }

  /** The methods that the agent has not answered yet. */
  get unanswered(): string[] {
    return [...this.#waiting.values()].map(({method}) => method)
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await this.#writing
  }

  /** A message that the agent has sent. */
  receive(message: AgentMessage): void {
    if (message.type !== 'result' && message.type !== 'failure') return
    const id = String(message.id)
    if (this.#replies.has(id)) return
    this.#replies.set(id, message)
    this.#waiting.get(id)?.settle(message)
    this.#waiting.delete(id)
  }

  /** Resolves with the result. Rejects with AgentRefusal, or ChannelClosed. `onSent`: the agent has the request. */
  async request(
    id: string,
    method: string,
    params: Fields,
    {input, onSent}: {input?: string; onSent?: () => void} = {},
  ): Promise<Fields> {
    const sent = this.#deliver(id, requestLine(id, method, params), input)
    if (onSent) void sent.then(onSent, () => {})
    const reply = await Promise.race([this.#reply(id, method), rejection(sent)])
    if (reply.type === 'failure') throw new AgentRefusal(method, reply.error)
    return reply.result
  }

  /** Sends a message that has no answer. Resolves once the agent has it. */
  async send(key: string, line: string, input?: string): Promise<void> {
    await this.#deliver(key, line, input)
  }

  async notify(key: string, method: string, params: Fields): Promise<void> {
    await this.#deliver(key, notificationLine(method, params))
  }

  /** Whether a line with this key was put down, by this process or an earlier one. */
  hasSent(key: string): boolean {
    return this.#log.lines.get(key)?.isWritten === true
  }

  #reply(id: string, method: string): Promise<Reply> {
    const known = this.#replies.get(id)
    if (known) return Promise.resolve(known)
    return new Promise((resolve, reject) => {
      const close = () => reject(new ChannelClosed(`the agent did not answer ${method}`))
      if (this.#signal.aborted) return close()
      this.#waiting.set(id, {method, settle: resolve, close})
    })
  }

  /** One line after the other, each exactly once. */
  #deliver(key: string, line: string, input?: string): Promise<void> {
    const delivered = this.#writing.then(async () => {
      if (this.#log.lines.get(key)?.isWritten) return
      this.#log.add({put: key, line, ...(input === undefined ? {} : {input})})
      await this.#write(line)
      this.#log.add({written: key})
      await this.#write('\n')
    })
    this.#writing = delivered.catch(() => {})
    return delivered
  }

  async #write(text: string): Promise<void> {
    if (!(await this.#stdin.write(text, this.#signal))) throw new ChannelClosed('the agent has ended')
  }

  /** An earlier process may have been killed in a line. A complete one counts from its line feed on. */
  async #endLine(): Promise<void> {
    const {last} = this.#log
    if (last) await this.#stdin.write(last.isWritten ? '\n' : spoiler, this.#signal)
  }

  #close(): void {
    for (const {close} of this.#waiting.values()) close()
    this.#waiting.clear()
  }
}

/** Rejects if `done` does, and never resolves. */
const rejection = (done: Promise<void>) =>
  new Promise<never>((_, reject) => {
    done.catch(reject)
  })
