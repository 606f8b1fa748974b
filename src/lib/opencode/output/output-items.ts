import {formatBytes} from '../../core/text/format-bytes.ts'
import type {OutputChunk} from '../../protocol/schemas.ts'
import {readFact} from './events.ts'
import {lineSplitter} from './line-splitter.ts'
import {RunRecord} from './record.ts'

/** What people are shown of the output of a task, piece by piece. `event`: the line that the tool call is in. */
export type OutputItem =
  | {kind: 'attempt'; attempt: number}
  | {kind: 'text'; text: string}
  | {kind: 'tool'; tool: string; title: string; error: string; isError: boolean; event: string}
  | {kind: 'error'; message: string}
  /** A line that is no event. */
  | {kind: 'line'; text: string}
  | {kind: 'too-long'}

/** Reads output into items. Chunks may end anywhere. */
export class OutputReader {
  readonly #onItem: (item: OutputItem) => void
  #record = new RunRecord()
  #attempt = 0
  #lines = this.#newLines()

  constructor(onItem: (item: OutputItem) => void) {
    this.#onItem = onItem
  }

  add({output, attempt}: Pick<OutputChunk, 'output' | 'attempt'>): void {
    if (attempt !== this.#attempt && this.#attempt !== 0) {
      this.#lines.end()
      this.#onItem({kind: 'attempt', attempt})
      this.#record = new RunRecord()
      this.#lines = this.#newLines()
    }

    this.#attempt = attempt
    this.#lines.push(Buffer.from(output))
  }

  /** Ends the last line. */
  end(): void {
    this.#lines.end()
  }

  /** What the attempt has used so far: tokens, and cost in US dollars. */
  get usage(): RunRecord['usage'] {
    return this.#record.usage
  }

  #newLines() {
    return lineSplitter((line) => {
      if (line === undefined) return this.#onItem({kind: 'too-long'})
      const item = this.#itemOf(line)
      if (item) this.#onItem(item)
    })
  }

  #itemOf(line: string): OutputItem | undefined {
    const fact = readFact(line)
    this.#record.add(fact)
    switch (fact.type) {
      case 'text':
        return fact.synthetic || fact.text.trim() === '' ? undefined : {kind: 'text', text: fact.text.trim()}
      case 'tool': {
        const {tool, title, error, status} = fact
        return {kind: 'tool', tool, title, error, isError: status === 'error', event: line}
      }
      case 'error':
        return {kind: 'error', message: fact.message}
      case 'other':
        return fact.why === 'not-json' && line !== '' ? {kind: 'line', text: line} : undefined
      default:
        return undefined
    }
  }
}

/** What to tell a reader whose task has lost output on the control plane. */
export const droppedText = (bytes: number) =>
  `The control plane has dropped ${formatBytes(bytes)} of the older output of this task.`
