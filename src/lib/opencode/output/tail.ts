import {withoutEscapes} from '../../core/text/escapes.ts'

/** The text, or its end if it exceeds `maxBytes` in UTF-8. A first line then says how much is missing. */
export const tailOf = (text: string, maxBytes: number): string => {
  const tail = new TextTail(maxBytes)
  tail.add(text)
  return tail.text
}

/** Keeps the end of a sequence of texts, one per line. Neither memory nor time grows with what came before. */
export class TextTail {
  readonly #maxBytes: number
  #parts: string[] = []
  #bytes = 0
  #dropped = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  add(text: string): void {
    this.#parts.push(text)
    this.#bytes += Buffer.byteLength(text) + 1
    // Rarely cut, so that the total cost stays linear.
    if (this.#bytes > 4 * this.#maxBytes) this.#cutTo(2 * this.#maxBytes)
  }

  /** At most `maxBytes` in UTF-8. If text is missing, the first line says how much. */
  get text(): string {
    if (this.#dropped === 0 && this.#bytes - 1 <= this.#maxBytes) return this.#parts.join('\n')
    this.#cutTo(this.#maxBytes - 64)
    return `[… the first ${this.#dropped} bytes are omitted]\n${this.#parts.join('\n')}`
  }

  #cutTo(bytes: number): void {
    const all = Buffer.from(this.#parts.join('\n'))
    let from = Math.max(0, all.length - bytes)
    // Never cut within a character.
    while (from < all.length && ((all[from] ?? 0) & 0xc0) === 0x80) from += 1
    this.#dropped += from
    this.#parts = [all.toString('utf8', from)]
    this.#bytes = all.length - from + 1
  }
}

/** The last lines of a program's output, without colour codes, at most `maxChars`. */
export function lastLines(text: string, maxLines = 5, maxChars = 1000): string {
  return withoutEscapes(text)
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-maxLines)
    .join('\n')
    .slice(-maxChars)
}
