import type {Clock} from '../../core/clock.ts'
import {truncateToWidth} from './plain-text.ts'
import {formatClock} from '../../core/text/times.ts'

export type StatusLineOptions = {
  stream: {isTTY?: boolean; columns?: number; write: (text: string) => unknown}
  clock: Clock
}

export type Progress = {
  /** Who works on it. */
  by?: string | undefined
  text: string
  /** For how long already. Undefined: since it is shown. */
  forMs?: number | undefined
}

const redrawMs = 1000
const clearLine = '\r\u001b[2K'

/**
 * Shows what a command waits for, with a clock: on a terminal as one line that is redrawn, otherwise as a plain line for
 * each change.
 */
export class StatusLine implements Disposable {
  readonly #stream: StatusLineOptions['stream']
  readonly #clock: Clock
  readonly #timer: NodeJS.Timeout | undefined
  #shown: Progress | undefined
  #since = 0
  #printed = {by: '', text: ''}
  /** Draws the line of somebody who types instead. */
  #redraw: (() => void) | undefined

  constructor({stream, clock}: StatusLineOptions) {
    this.#stream = stream
    this.#clock = clock
    if (stream.isTTY) this.#timer = setInterval(() => this.#draw(), redrawMs).unref()
  }

  show(progress: Progress): void {
    const {by = '', text, forMs} = progress
    const isSame = this.#shown?.text === text
    if (forMs !== undefined) this.#since = this.#clock.monotonic() - forMs
    else if (!isSame) this.#since = this.#clock.monotonic()
    this.#shown = progress
    if (this.#timer) return this.#draw()
    if (by !== '' && by !== this.#printed.by) this.#stream.write(`${capitalized(by)}\n`)
    if (text !== this.#printed.text) this.#stream.write(`${capitalized(text)}\n`)
    this.#printed = {by, text}
  }

  /** Prints something else. The line stays below it. */
  print(write: () => void): void {
    this.#clear()
    write()
    if (this.#redraw) this.#redraw()
    else this.#draw()
  }

  /** Gives the place of the line to something else, which `redraw` draws after each print. Until disposed. */
  hold(redraw: () => void): Disposable {
    this.#clear()
    this.#redraw = redraw
    return {
      [Symbol.dispose]: () => {
        if (this.#redraw !== redraw) return
        this.#redraw = undefined
        this.#draw()
      },
    }
  }

  /** Removes the line. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#clear()
    this.#shown = undefined
  }

  #clear(): void {
    if (this.#timer && (this.#shown || this.#redraw)) this.#stream.write(clearLine)
  }

  #draw(): void {
    if (!this.#timer || !this.#shown || this.#redraw) return
    const {by, text} = this.#shown
    const clock = formatClock(this.#clock.monotonic() - this.#since)
    const line = `${by ? `${by} · ` : ''}${text}, ${clock}`
    this.#stream.write(`${clearLine}${truncateToWidth(line, (this.#stream.columns ?? 80) - 1)}`)
  }
}

const capitalized = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
