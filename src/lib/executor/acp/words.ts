import {chosenOption, type InputResult, type OpenQuestion, type TaskInput} from '../../protocol/task-input.ts'
import {type AgentMessage, failureLine, type Fields, resultLine, rpcErrors} from '../../acp/message.ts'
import {answerOf, permissionResult, questionId, questionOf} from '../../acp/questions.ts'
import type {Clock} from '../../core/clock.ts'
import type {AgentChannel} from './channel.ts'
import type {SentLog} from './sent-log.ts'

type Open = {question: OpenQuestion; key: string; rpcId: string | number; stopTimer: () => void}

export type WordsOptions = {
  log: SentLog
  channel: AgentChannel
  clock: Clock
  onQuestions: (questions: readonly OpenQuestion[]) => void
  onInput: (result: InputResult) => void
  onWarning: (text: string) => void
}

/**
 * What agent and people say to each other besides the prompt: requests for permission and their answers, and messages.
 * One state machine: a request is open, then answered, once. All that it decides is in the log of the run first.
 */
export class Words {
  readonly #options: WordsOptions
  readonly #open = new Map<string, Open>()
  /** How many requests the agent has sent. Counted alike by each process that reads its messages. */
  #requests = 0
  /** Inputs that were given, and those whose result was told. */
  readonly #known = new Set<string>()
  readonly #reported = new Set<string>()
  #isOver = false
  #isCancelled = false
  #session = ''

  constructor(options: WordsOptions) {
    this.#options = options
    this.#repeatResults()
  }

  /** The session is open. Turns that an earlier process was to end are ended now. */
  openSession(id: string): void {
    this.#session = id
    const {log, channel} = this.#options
    const given = this.#given
    for (const [input, {steers}] of log.queued)
      if (steers && !given.has(input) && !channel.hasSent(steerKey(input))) this.#cancelTurn(steerKey(input))
  }

  get isAsking(): boolean {
    return this.#open.size > 0
  }

  /** The questions for people, oldest first. */
  get questions(): OpenQuestion[] {
    return [...this.#open.values()].map(({question}) => question)
  }

  /** A request of the agent. The protocol demands an answer to each. */
  receive(message: AgentMessage & {type: 'request'}): void {
    const {log, channel} = this.#options
    const {id, method, params} = message
    const key = `answer-${JSON.stringify(id)}-${this.#requests}`
    this.#requests += 1
    if (method !== 'session/request_permission') {
      const refusal = failureLine(id, rpcErrors.unknownMethod, `the client does not offer ${method}`)
      void channel.send(key, refusal).catch(() => {})
      return
    }

    const name = questionId(log.start.process, this.#nameOf(id))
    const question = this.#questionOf(name, params)
    if (channel.hasSent(key)) return
    const {permissions} = log.start
    if (permissions === 'ask' && !this.#isOver) return this.#ask({question, key, rpcId: id})
    const option = chosenOption(question, permissions === 'allow' ? 'allow' : 'deny')
    if (!option && permissions === 'allow')
      this.#options.onWarning(`the agent offers no way to allow: ${question.title}`)
    this.#answer({key, rpcId: id}, permissionResult(option))
  }

  /** An agent may use an id again for another question, so the name also counts. */
  #nameOf(id: string | number): string {
    return `${String(id)}${this.#requests > 1 ? `.${this.#requests}` : ''}`
  }

  /** The times of a question that an earlier process has asked still count. */
  #questionOf(id: string, params: Fields): OpenQuestion {
    const {log, clock} = this.#options
    const {askMs} = log.start
    const now = clock.now()
    const times = log.asked.get(id) ?? {since: now, until: askMs > 0 ? now + askMs : null}
    return questionOf(id, params, {since: times.since, until: times.until})
  }

  #ask(open: Omit<Open, 'stopTimer'>): void {
    const {log, clock, onQuestions, onWarning} = this.#options
    const {question} = open
    if (!log.asked.has(question.id)) log.add({asked: question.id, since: question.since, until: question.until})
    const timer = new AbortController()
    this.#open.set(question.id, {...open, stopTimer: () => timer.abort()})
    onQuestions(this.questions)
    if (question.until === null) return
    void clock.sleep(Math.max(0, question.until - clock.now()), timer.signal).then(() => {
      if (timer.signal.aborted || !this.#open.has(question.id)) return
      onWarning(`nobody answered within ask_timeout, so the answer is no: ${question.title}`)
      this.#settle(question.id, permissionResult(chosenOption(question, 'deny')))
    })
  }

  #settle(id: string, result: Fields, input?: string): void {
    const open = this.#open.get(id)
    if (!open) return
    open.stopTimer()
    this.#open.delete(id)
    this.#answer(open, result, input)
    this.#options.onQuestions(this.questions)
  }

  #answer({key, rpcId}: Pick<Open, 'key' | 'rpcId'>, result: Fields, input?: string): void {
    const {channel} = this.#options
    channel.send(key, resultLine(rpcId, result), input).then(
      () => input !== undefined && this.#report({id: input, outcome: 'delivered', reason: null}),
      () => input !== undefined && this.#report({id: input, outcome: 'unknown', reason: endedMeanwhile}),
    )
  }

  /** Passes on what a person says. Once for each input. */
  give(input: TaskInput): void {
    if (this.#known.has(input.id)) return
    this.#known.add(input.id)
    if (this.#isOver) return this.#refuse(input.id, 'the run has ended')
    if (input.question !== null) return this.#giveAnswer(input.question, input)
    const text = input.text?.trim() ?? ''
    if (text === '') return this.#refuse(input.id, 'the message is empty')
    const steers = input.mode === 'steer'
    this.#options.log.add({queued: input.id, text: input.text ?? '', steers})
    if (steers) this.#cancelTurn(steerKey(input.id))
  }

  #giveAnswer(id: string, input: TaskInput): void {
    const open = this.#open.get(id)
    if (!open) return this.#refuse(input.id, 'this question is not open any more')
    const answer = answerOf(open.question, input)
    if ('problem' in answer) return this.#refuse(input.id, answer.problem)
    // The message counts as the input, which is delivered with the answer.
    if (answer.message !== undefined)
      this.#options.log.add({queued: textKey(input.id), text: answer.message, steers: false})
    this.#settle(id, permissionResult(answer.option), input.id)
  }

  #refuse(id: string, reason: string): void {
    this.#options.log.add({refused: id, reason})
    this.#report({id, outcome: 'refused', reason})
  }

  #report(result: InputResult): void {
    if (isTextKey(result.id)) return
    this.#reported.add(result.id)
    this.#options.onInput(result)
  }

  /** The message for the turn after this one. Undefined if there is none: the run is over. */
  next(turn: number): {id: string; text: string} | undefined {
    const {log} = this.#options
    const [id, queued] = [...log.queued][turn - 1] ?? []
    if (id !== undefined && queued !== undefined && !this.#isCancelled) return {id, text: queued.text}
    this.#isOver = true
    return undefined
  }

  /** The agent has the prompt that this input has become. */
  onPrompt(input: string): void {
    this.#report({id: input, outcome: 'delivered', reason: null})
  }

  /** Asks the agent to end its turn. Open questions are answered as cancelled, as the protocol demands. */
  cancel(): void {
    this.#isOver = true
    this.#isCancelled = true
    this.#cancelTurn('cancel')
  }

  #cancelTurn(key: string): void {
    const {channel} = this.#options
    for (const {question} of this.#open.values()) this.#settle(question.id, permissionResult(undefined))
    if (this.#session === '') return
    void channel.notify(key, 'session/cancel', {sessionId: this.#session}).catch(() => {})
  }

  /** The agent has ended. Messages that it has not got are refused. */
  end(): void {
    this.#isOver = true
    for (const open of this.#open.values()) open.stopTimer()
    const hadQuestions = this.#open.size > 0
    this.#open.clear()
    if (hadQuestions) this.#options.onQuestions([])
    const {log} = this.#options
    const given = this.#given
    for (const id of log.queued.keys()) {
      if (this.#reported.has(id) || isTextKey(id)) continue
      if (given.has(id)) this.#report({id, outcome: 'unknown', reason: endedMeanwhile})
      else this.#refuse(id, 'the run ended before the agent got it')
    }
  }

  /** The inputs that were given to the agent, or are being given. */
  get #given(): ReadonlySet<string | undefined> {
    return new Set([...this.#options.log.lines.values()].map(({input}) => input))
  }

  /** What became of the inputs of an earlier process. One that the agent may not have is given again. */
  #repeatResults(): void {
    const {log} = this.#options
    for (const id of log.queued.keys()) this.#known.add(id)
    for (const {input, isWritten} of log.lines.values()) {
      if (input === undefined || !isWritten) continue
      this.#known.add(input)
      this.#report({id: input, outcome: 'delivered', reason: null})
    }
    for (const [id, reason] of log.refused) {
      this.#known.add(id)
      this.#report({id, outcome: 'refused', reason})
    }
  }
}

const endedMeanwhile = 'the agent ended at that moment'
const steerKey = (input: string) => `steer-${input}`
/** The text of an answer becomes a message of its own. Its result is that of the answer. */
const textKey = (input: string) => `${input}/text`
const isTextKey = (id: string) => id.endsWith('/text')
