import {plainLine, plainText} from '../../core/text/plain-line.ts'
import {OutputReader, type OutputItem} from '../../opencode/output/output-items.ts'
import type {OutputChunk} from '../../protocol/schemas.ts'

/**
 * Prints OpenCode's events for people: each text, one line per tool call with its outcome, and tokens and cost at the
 * end. Chunks may end anywhere. Lines that are not events are printed unchanged.
 */
export class OutputView {
  readonly #print: (text: string) => void
  readonly #reader: OutputReader

  /** `print` gets whole lines without the newline. */
  constructor(print: (text: string) => void) {
    this.#print = print
    this.#reader = new OutputReader((item) => {
      const shown = plainText(describeItem(item))
      if (shown !== '') print(shown)
    })
  }

  add(chunk: OutputChunk): void {
    this.#reader.add(chunk)
  }

  /** Ends the last line and prints tokens and cost. */
  end(): void {
    this.#reader.end()
    const {input, output, reasoning, cache_read: cached, cost} = this.#reader.usage
    if (input + output === 0) return
    const details = [
      `${input} in`,
      `${output} out`,
      ...(reasoning ? [`${reasoning} reasoning`] : []),
      ...(cached ? [`${cached} cached`] : []),
    ]
    this.#print(`Tokens: ${details.join(', ')}; cost: $${cost.toFixed(4)}`)
  }
}

function describeItem(item: OutputItem): string {
  switch (item.kind) {
    case 'attempt':
      return `— attempt ${item.attempt} —`
    case 'text':
    case 'line':
      return item.text
    case 'tool':
      return `${item.isError ? '✗' : '✓'} ${item.tool} ${plainLine(item.title, 100)}${item.error ? `: ${plainLine(item.error, 200)}` : ''}`
    case 'error':
      return `✗ ${plainLine(item.message, 400)}`
    case 'too-long':
      return '(line too long to show; use --raw)'
  }
}
