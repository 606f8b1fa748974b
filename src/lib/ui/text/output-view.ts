import {formatBytes} from '../../core/text/format-bytes.ts'
import {readFact, type AgentFact} from '../../opencode/output/events.ts'
import {lineSplitter} from '../../opencode/output/line-splitter.ts'
import {RunRecord} from '../../opencode/output/record.ts'
import {withoutEscapes} from '../../core/text/escapes.ts'
import {showHidden} from '../../core/text/hidden-characters.ts'
import type {OutputChunk} from '../../protocol/schemas.ts'
import {plainLine} from './table.ts'

/**
 * Prints OpenCode's events for people: each text, one line per tool call with its outcome, and tokens and cost at the
 * end. Chunks may end anywhere. Lines that are not events are printed unchanged.
 */
export class OutputView {
  readonly #print: (text: string) => void
  #record = new RunRecord()
  #attempt = 0
  #lines = this.#newLines()

  /** `print` gets whole lines without the newline. */
  constructor(print: (text: string) => void) {
    this.#print = print
  }

  add({output, attempt}: OutputChunk): void {
    if (attempt !== this.#attempt && this.#attempt !== 0) {
      this.#lines.end()
      this.#print(`— attempt ${attempt} —`)
      this.#record = new RunRecord()
      this.#lines = this.#newLines()
    }

    this.#attempt = attempt
    this.#lines.push(Buffer.from(output))
  }

  /** Ends the last line and prints tokens and cost. */
  end(): void {
    this.#lines.end()
    const {input, output, reasoning, cache_read: cached, cost} = this.#record.usage
    if (input + output === 0) return
    const details = [
      `${input} in`,
      `${output} out`,
      ...(reasoning ? [`${reasoning} reasoning`] : []),
      ...(cached ? [`${cached} cached`] : []),
    ]
    this.#print(`Tokens: ${details.join(', ')}; cost: $${cost.toFixed(4)}`)
  }

  #newLines() {
    return lineSplitter((line) => {
      if (line === undefined) return this.#print('(line too long to show; use --raw)')
      const fact = readFact(line)
      this.#record.add(fact)
      const shown = fact.type === 'other' && fact.why === 'not-json' ? line : describeFact(fact)
      if (shown !== undefined && shown !== '') this.#print(visible(shown))
    })
  }
}

function describeFact(fact: AgentFact): string | undefined {
  switch (fact.type) {
    case 'text':
      return fact.synthetic ? undefined : fact.text.trim()
    case 'tool':
      return `${fact.status === 'error' ? '✗' : '✓'} ${fact.tool} ${plainLine(fact.title, 100)}${fact.error ? `: ${plainLine(fact.error, 200)}` : ''}`
    case 'error':
      return `✗ ${plainLine(fact.message, 400)}`
    default:
      return undefined
  }
}

/** The agent's output without escape sequences, and with hidden characters as codes. Newlines and tabs stay. */
const visible = (text: string) => showHidden(withoutEscapes(text).replaceAll('\r\n', '\n'), {kept: '\n\t'})

/** What to tell a reader whose task has lost output on the control plane. */
export const droppedText = (bytes: number) =>
  `The control plane has dropped ${formatBytes(bytes)} of the older output of this task.`
