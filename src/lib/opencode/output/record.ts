import {limits} from '../../protocol/limits.ts'
import type {Usage} from '../../protocol/schemas.ts'
import type {AgentFact} from './events.ts'
import {TextTail} from './tail.ts'

/** An error that OpenCode printed. */
export type AgentError = Pick<AgentFact & {type: 'error'}, 'name' | 'message' | 'status' | 'provider'>

const rejection = /^The user rejected permission/

/** Accumulates the events of a run. Its size does not grow with the output. */
export class RunRecord {
  sessionId: string | null = null
  /** Number of lines that were events. */
  events = 0
  /** Number of other lines. */
  others = 0
  /** How many turns of the model have ended. */
  steps = 0
  /** Whether the last event ended the turn. */
  finished = false
  /** The newest error that no later end of a turn has cleared. */
  error: AgentError | undefined
  /** The context was too long and OpenCode summarized it. An end of a turn may then be that of the summary. */
  overflowed = false
  /** The tool whose call was rejected because nobody could be asked, if only the end of the step followed. */
  rejectedTool: string | undefined
  readonly usage = {input: 0, output: 0, reasoning: 0, cache_read: 0, cache_write: 0, cost: 0} satisfies Partial<Usage>
  #messageId = ''
  #text = new TextTail(limits.result)
  #before = this.#text

  add(fact: AgentFact): void {
    if (fact.type === 'other') this.others += 1
    else this.events += 1
    if (fact.sessionId !== undefined) this.sessionId = fact.sessionId
    switch (fact.type) {
      case 'step-start':
        this.finished = false
        this.rejectedTool = undefined
        break
      case 'tool':
        this.finished = false
        this.rejectedTool = fact.status === 'error' && rejection.test(fact.error) ? fact.tool : undefined
        break
      case 'text':
        if (fact.synthetic) this.#startOver()
        else this.#addText(fact.messageId, fact.text)
        break
      case 'step-finish':
        this.#finishStep(fact)
        break
      case 'error':
        this.error = fact
        this.finished = false
        this.overflowed ||= fact.name === 'ContextOverflowError'
        break
      default:
    }
  }

  /** The text of the last message with text, or null. Of a long text only the end. */
  get result(): string | null {
    return this.#text.text || null
  }

  #addText(messageId: string, text: string): void {
    if (text.trim() === '') return
    if (messageId !== this.#messageId) {
      this.#before = this.#text
      this.#text = new TextTail(limits.result)
    }
    this.#messageId = messageId
    this.#text.add(text)
  }

  /**
   * OpenCode inserted a message of its own: it summarized the conversation, in a message that ended like any other, and
   * continues. The summary is not an answer.
   */
  #startOver(): void {
    this.#text = this.#before
    this.#messageId = ''
    this.finished = false
  }

  #finishStep({reason, tokens, cost}: AgentFact & {type: 'step-finish'}): void {
    const {usage} = this
    this.steps += 1
    usage.input += tokens.input
    usage.output += tokens.output
    usage.reasoning += tokens.reasoning
    usage.cache_read += tokens.cacheRead
    usage.cache_write += tokens.cacheWrite
    usage.cost += cost
    this.finished = reason !== 'tool-calls'
    if (this.finished) this.error = undefined
  }
}
