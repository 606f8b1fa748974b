import {createInterface, type Interface} from 'node:readline'
import {answerFor, optionsHint, sendAnswer} from '../../client/inputs/answer-question.ts'
import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {systemClock} from '../../core/clock.ts'
import {ExpectedError, messageOf} from '../../core/errors.ts'
import type {Task} from '../../protocol/schemas.ts'
import {questionText, type OpenQuestion} from '../../protocol/task-input.ts'
import type {InputSigner} from '../../signing/sign-input.ts'
import type {StatusLine} from './status-line.ts'
import {plainLine} from '../../core/text/plain-line.ts'

/** A terminal on which somebody can answer. */
export type Asking = {
  input: NodeJS.ReadableStream
  output: NodeJS.WritableStream
  sign: InputSigner | undefined
  /** Ctrl-C while a line is typed. */
  onInterrupt: () => void
}

export type QuestionPromptOptions = {
  client: ControlPlaneClient
  /** Prints a line for people. */
  notify: (text: string) => void
  /** It makes room for the line that is typed. */
  line: Pick<StatusLine, 'hold'> | undefined
  /** Undefined: the line says with which command to answer. */
  asking: Asking | undefined
  signal: AbortSignal
}

const answerMs = 5000

/** Shows what the agent of a followed task asks. On a terminal it asks right there, one question after the other. */
export class QuestionPrompt implements Disposable {
  readonly #options: QuestionPromptOptions
  readonly #shown = new Set<string>()
  /** Answered here, or left unanswered by the person. */
  readonly #done = new Set<string>()
  #current: {id: string; lines: Interface; hold: Disposable | undefined} | undefined

  /** The answer that is on its way. */
  #sending: Promise<void> = Promise.resolve()

  constructor(options: QuestionPromptOptions) {
    this.#options = options
  }

  /** Takes the news about a task. */
  update({id: taskId, waiting_for: open = []}: Task): void {
    if (this.#current && !open.some(({id}) => id === this.#current?.id)) this.#close()
    for (const question of open) if (!this.#shown.has(question.id)) this.#show(taskId, question, open.length === 1)
    const next = open.find(({id}) => !this.#done.has(id))
    if (next && !this.#current && this.#options.asking) this.#ask(taskId, next, this.#options.asking)
  }

  /** Resolves when it is told what became of the last answer. */
  async idle(): Promise<void> {
    await this.#sending
  }

  [Symbol.dispose](): void {
    this.#close()
  }

  #show(taskId: string, question: OpenQuestion, isOnly: boolean): void {
    const {notify, asking} = this.#options
    this.#shown.add(question.id)
    const flag = isOnly ? '' : ` --question ${question.id}`
    const how = asking ? '' : `\n  → Answer it: a2a-worker tasks answer ${taskId} allow|always|deny|TEXT${flag}`
    notify(`The agent ${plainLine(questionText(question), 1000)}${how}`)
  }

  #ask(taskId: string, question: OpenQuestion, {input, output, onInterrupt}: Asking): void {
    this.#options.notify(optionsHint(question))
    const lines = createInterface({input, output, terminal: true, historySize: 0})
    const hold = this.#options.line?.hold(() => lines.prompt(true))
    this.#current = {id: question.id, lines, hold}
    lines.setPrompt('answer> ')
    lines.on('line', (text) => (this.#sending = this.#take(taskId, question, text)))
    lines.on('SIGINT', onInterrupt)
    lines.on('close', () => this.#leave(taskId, question))
    lines.prompt()
  }

  async #take(taskId: string, question: OpenQuestion, text: string): Promise<void> {
    const {client, signal, notify, asking} = this.#options
    try {
      const answer = answerFor(question, text)
      this.#done.add(question.id)
      this.#close()
      const options = {client, clock: systemClock, signal, sign: asking?.sign, waitMs: answerMs}
      const {input} = await sendAnswer(taskId, question, answer, options)
      notify(input.state === 'delivered' ? 'The agent has your answer.' : 'Your answer is on its way to the agent.')
    } catch (error) {
      const hints = error instanceof ExpectedError ? error.suggestions : []
      notify([messageOf(error), ...hints].join(' '))
      if (this.#current?.id === question.id) this.#current.lines.prompt()
    }
  }

  /** Ctrl-D: the person does not want to answer here. */
  #leave(taskId: string, question: OpenQuestion): void {
    if (this.#current?.id !== question.id) return
    this.#done.add(question.id)
    this.#close()
    this.#options.notify(
      `Not answered. To answer it later: a2a-worker tasks answer ${taskId} --question ${question.id}`,
    )
  }

  #close(): void {
    const current = this.#current
    this.#current = undefined
    current?.lines.close()
    current?.hold?.[Symbol.dispose]()
  }
}
