import type {Head, LogEntry} from './decision-log.ts'

const maxEntries = 5000
const maxChars = 8 * 1024 * 1024

/** The last entries that a replica has applied, for a Redis that has lost them. */
export class RecentEntries {
  readonly #entries: LogEntry[] = []
  #chars = 0

  add(entry: LogEntry): void {
    this.#entries.push(entry)
    this.#chars += entry.text.length
    while (this.#chars > maxChars || this.#entries.length > maxEntries)
      this.#chars -= this.#entries.shift()?.text.length ?? 0
  }

  /** The entry at this head, and all after it. Undefined: that entry is not known, or is another one. */
  from({position, id}: Head): readonly LogEntry[] | undefined {
    const entries = this.#entries.filter((entry) => entry.position >= position)
    return entries[0]?.id === id ? entries : undefined
  }
}
