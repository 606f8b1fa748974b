import supportsHyperlinks from 'supports-hyperlinks'

/** Words of an output that are links on a terminal that shows them (OSC 8). Elsewhere they stay as they are. */
export class Hyperlinks {
  readonly #urls = new Map<string, string>()

  add(word: string, url: string): void {
    this.#urls.set(word, url)
  }

  /** The text with its links, for this stream. Applied last, when nothing measures the text any more. */
  apply(text: string, stream: 'stdout' | 'stderr'): string {
    if (this.#urls.size === 0 || !supportsHyperlinks[stream]) return text
    return text.replaceAll(/[\w:/.-]+/g, (word) => {
      const url = this.#urls.get(word)
      return url === undefined ? word : `\u001b]8;;${url}\u0007${word}\u001b]8;;\u0007`
    })
  }
}
