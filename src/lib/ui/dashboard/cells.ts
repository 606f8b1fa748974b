import {padToWidth, truncateToWidth, textWidth} from '../text/plain-text.ts'

/** The meaning of a piece of text. The text must be understandable without colours too. */
export type Tone = 'plain' | 'strong' | 'dim' | 'good' | 'bad' | 'warn' | 'accent' | 'chosen'

export type Cell = {text: string; tone: Tone}

/** A row of the screen. `row` and `spread` limit its width. */
export type Row = readonly Cell[]

export const emptyRow: Row = []

/** The size of a pane in cells, and the current time in ms. */
export type Area = {width: number; height: number; now: number}

/** A cell as wide as its text. */
export const cell = (text: string, tone: Tone = 'plain'): Cell => ({text, tone})

/** A cell padded or truncated to this width. */
export const column = (text: string, width: number, tone: Tone = 'plain'): Cell => ({
  text: padToWidth(text, width),
  tone,
})

/** The cells that fit into `width`. The last one may be truncated. */
export function row(width: number, ...cells: readonly Cell[]): Row {
  const fitting: Cell[] = []
  let left = width
  for (const {text, tone} of cells) {
    const part = truncateToWidth(text, left)
    if (part !== '') fitting.push({text: part, tone})
    left -= textWidth(part)
    if (left <= 0) break
  }

  return fitting
}

/** A row with cells at both ends. The right ones get their space first. */
export function spread(width: number, left: readonly Cell[], right: readonly Cell[]): Row {
  const end = row(width - 1, ...right)
  const room = width - rowWidth(end) - 1
  const start = row(Math.max(0, room), ...left)
  return [...start, cell(' '.repeat(Math.max(1, width - rowWidth(start) - rowWidth(end)))), ...end]
}

/** A heading with a line to the right edge. */
export function rule(width: number, title: string): Row {
  const start = row(width - 2, cell('── ', 'dim'), cell(title, 'strong'))
  return [...start, cell(` ${'─'.repeat(Math.max(0, width - rowWidth(start) - 1))}`, 'dim')]
}

const rowWidth = (cells: Row) => cells.reduce((sum, {text}) => sum + textWidth(text), 0)
