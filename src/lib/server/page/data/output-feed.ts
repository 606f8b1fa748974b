import {OutputReader, type OutputItem} from '../../../opencode/output/output-items.ts'
import {isFinal} from '../../../protocol/schemas.ts'
import type {Plane} from '../../plane/plane.ts'

/** Characters of the stored output that a page reads: about 200 kB. */
const tailChars = 200_000
/** Characters read before the event loop gets a turn. */
const batchChars = 512 * 1024
/** Of a piece that is longer, the end is read. The existing worker sends pieces of any size. */
const maxPiece = 1024 * 1024

/** Reads the newest output of a task, then what follows. */
export class OutputFeed {
  /** There is output before what this feed has read. */
  isTail: boolean
  readonly #plane: Plane
  readonly #taskId: string
  readonly #reader: OutputReader
  #items: OutputItem[] = []
  #next: number
  /** What comes first may be the rest of a line. */
  #isCut: boolean
  #hasEnded = false

  constructor(plane: Plane, taskId: string) {
    const first = plane.state.get('task', taskId)?.output_first ?? 0
    this.#plane = plane
    this.#taskId = taskId
    this.#next = Math.max(first, plane.views.output.tailStart(taskId, tailChars))
    this.isTail = this.#next > first
    this.#isCut = this.isTail
    this.#reader = new OutputReader((item) => this.#items.push(item))
  }

  /** Tokens and cost of this attempt so far. Undefined if not all of the output was read. */
  get spent(): OutputReader['usage'] | undefined {
    return this.isTail ? undefined : this.#reader.usage
  }

  /** All items that there are now. */
  takeAll(): OutputItem[] {
    const items: OutputItem[] = []
    for (let before = -1; before < this.#next;) {
      before = this.#next
      items.push(...this.take())
    }
    return items
  }

  /** Items that have come since the last call: not always all. */
  take(): OutputItem[] {
    let chars = 0
    for (const {seq, output, attempt} of this.#plane.views.output.read(this.#taskId, this.#next)) {
      this.#next = seq + 1
      chars += output.length
      const text = this.#whole(output)
      if (text !== '') this.#reader.add({output: text, attempt})
      if (chars > batchChars) break
    }

    const task = this.#plane.state.get('task', this.#taskId)
    const isOver = !task || (isFinal(task.status) && this.#next >= task.output_seq)
    if (isOver && !this.#hasEnded) this.#reader.end()
    this.#hasEnded = isOver
    return this.#items.splice(0)
  }

  /** The piece without a line whose beginning is missing. */
  #whole(output: string): string {
    const isLong = output.length > maxPiece
    this.isTail ||= isLong
    const text = isLong ? output.slice(-maxPiece) : output
    if (!this.#isCut && !isLong) return text
    const end = text.indexOf('\n')
    this.#isCut = end < 0
    return end < 0 ? '' : text.slice(end + 1)
  }
}
