import {isDeepStrictEqual} from 'node:util'
import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {untilAcknowledged} from '../../client/until-acknowledged.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import type {Emit} from '../../events/bus.ts'
import type {RunningAgent} from '../../executor/executor.ts'
import type {InputResult, OpenQuestion, QuestionReport, SignedInput} from '../../protocol/task-input.ts'
import type {Registration} from '../registration/registration.ts'
import type {CheckInput} from './check-input.ts'

export type ConversationOptions = {
  client: Pick<ControlPlaneClient, 'reportQuestions' | 'http'>
  registration: Pick<Registration, 'has' | 'untilRegistered'>
  clock: Clock
  emit: Emit
  workerId: string
  check: CheckInput
  /** Aborted when the worker gives up, even on reports. */
  signal: AbortSignal
}

export type ConversedRun = {task_id: string; attempt: number}

/**
 * What the agent of one run asks, and what people say to it. Each input is passed on once, in order, when the agent has
 * started. Questions and results are reported until the control plane acknowledges them, together and one report at a time.
 * Nothing is stored here: the control plane keeps inputs, and the executor tells again what it knows of an adopted run.
 */
export class Conversation {
  readonly run: ConversedRun
  readonly #options: ConversationOptions
  readonly #known = new Set<string>()
  #questions: readonly OpenQuestion[] = []
  /** Results that are not acknowledged. */
  readonly #results = new Map<string, InputResult>()
  #agent: Pick<RunningAgent, 'give'> | undefined
  /** Inputs wait for this. */
  #turn: Promise<void>
  #start: () => void = () => {}
  #isOver = false
  #isDirty = false
  #isRefused = false
  #sending: Promise<void> | undefined

  constructor(run: ConversedRun, options: ConversationOptions) {
    this.run = run
    this.#options = options
    this.#turn = new Promise((resolve) => (this.#start = resolve))
  }

  /** Takes an input. One that is known already has no effect. */
  receive(input: SignedInput): void {
    if (this.#known.has(input.id)) return
    this.#known.add(input.id)
    this.#turn = this.#turn.then(() => this.#pass(input))
  }

  /** The agent has started: it gets what waits for it. */
  attach(agent: Pick<RunningAgent, 'give'>): void {
    this.#agent = agent
    this.#start()
  }

  /** The complete list of what the agent asks now. */
  setQuestions(questions: readonly OpenQuestion[]): void {
    if (isDeepStrictEqual(questions, this.#questions)) return
    this.#questions = questions
    this.#options.emit({type: 'task.questions', taskId: this.run.task_id, questions: [...questions]})
    this.#report()
  }

  /** What became of an input. */
  addResult(result: InputResult): void {
    this.#known.add(result.id)
    this.#results.set(result.id, result)
    const {id: inputId, outcome, reason} = result
    this.#options.emit({type: 'task.input', taskId: this.run.task_id, inputId, outcome, reason})
    this.#report()
  }

  /** The run is over. Resolves when what became of inputs is acknowledged. Inputs that come later are refused. */
  async end(): Promise<void> {
    this.#isOver = true
    this.#start()
    await this.#turn
    this.setQuestions([])
    while (this.#sending) await this.#sending
  }

  async #pass(input: SignedInput): Promise<void> {
    const refuse = (reason: string) => this.addResult({id: input.id, outcome: 'refused', reason})
    try {
      if (this.#isOver) return refuse('the run has ended')
      const problem = await this.#options.check(this.run.task_id, input, this.#questions)
      if (problem !== undefined) return refuse(problem)
      if (!this.#agent?.give) return refuse('this agent takes no inputs')
      const {signature: _, ...plain} = input
      this.#agent.give(plain)
    } catch (error) {
      refuse(messageOf(error))
    }
  }

  #report(): void {
    this.#isDirty = true
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined))
  }

  async #send(): Promise<void> {
    const {registration, signal} = this.#options
    await registration.untilRegistered(signal)
    while (this.#isDirty && !this.#isRefused && !signal.aborted && registration.has('input')) await this.#sendOnce()
  }

  /** A final refusal ends it: the run is not this worker's any more. */
  async #sendOnce(): Promise<void> {
    const {client, clock, signal, emit} = this.#options
    const taskId = this.run.task_id
    let sent: InputResult[] = []
    const step = () => {
      this.#isDirty = false
      sent = [...this.#results.values()]
      return client.reportQuestions(taskId, this.#body(sent), signal)
    }
    try {
      await untilAcknowledged(step, {
        ...{signal, clock, untilRenewed: () => client.http.untilRenewed},
        onFailure: ({error, failures}) => {
          const text = `What the agent asks could not be reported. It will be sent again: ${messageOf(error)}`
          if (failures === 1) emit({type: 'notice', level: 'warn', taskId, text})
        },
      })
      for (const result of sent) if (this.#results.get(result.id) === result) this.#results.delete(result.id)
    } catch (error) {
      this.#isRefused = true
      if (!signal.aborted) emit({type: 'notice', level: 'debug', taskId, text: messageOf(error)})
    }
  }

  #body(inputs: InputResult[]): QuestionReport {
    return {worker_id: this.#options.workerId, attempt: this.run.attempt, questions: [...this.#questions], inputs}
  }
}
