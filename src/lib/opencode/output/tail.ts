/** The end of a text that is over `maxBytes` in UTF-8, with a line before it that says how much is missing. */
export const keepTail = (text: string, maxBytes: number): string => {
  const tail = new TextTail(maxBytes)
  tail.add(text)
  return tail.text
}

/** Texts, each on lines of its own, of which the end is kept: neither memory nor time grows with what was said before. */
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
    // Cut now and then: each cut looks at no more than twice what has come since the last one.
    if (this.#bytes > 4 * this.#maxBytes) this.#cutTo(2 * this.#maxBytes)
  }

  /** At most `maxBytes` in UTF-8; where that is not all, the first line says how much is missing. */
  get text(): string {
    if (this.#dropped === 0 && this.#bytes - 1 <= this.#maxBytes) return this.#parts.join('\n')
    this.#cutTo(this.#maxBytes - 64)
    return `[… the first ${this.#dropped} bytes are left out]\n${this.#parts.join('\n')}`
  }

  #cutTo(bytes: number): void {
    const all = Buffer.from(this.#parts.join('\n'))
    let from = Math.max(0, all.length - bytes)
    // A cut within a character would leave a replacement character.
    while (from < all.length && ((all[from] ?? 0) & 0xc0) === 0x80) from += 1
    this.#dropped += from
    this.#parts = [all.toString('utf8', from)]
    this.#bytes = all.length - from + 1
  }
}

/** The last few lines of what a program printed for people, without colours, in at most `maxChars`. */
export function lastLines(text: string, most = 5, maxChars = 1000): string {
  return withoutColours(text)
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-most)
    .join('\n')
    .slice(-maxChars)
}

// oxlint-disable-next-line no-control-regex -- ESC and BEL are what it looks for
const escapes = /\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b[@-_]/g

export const withoutColours = (text: string): string => text.replaceAll(escapes, '')
