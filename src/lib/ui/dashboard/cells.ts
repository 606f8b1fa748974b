import {padToWidth, truncateToWidth, textWidth} from '../text/plain-text.ts'

/** What a piece of text is, rather than how it looks: without colours it must be understood too. */
export type Tone = 'plain' | 'strong' | 'dim' | 'good' | 'bad' | 'warn' | 'accent' | 'chosen'

export type Cell = {text: string; tone: Tone}

/** A row of the screen, never wider than it was made for. */
export type Row = readonly Cell[]

export const emptyRow: Row = []

/** What a pane is drawn in, and when. */
export type Area = {width: number; height: number; now: number}

/** A cell as wide as its text. */
export const cell = (text: string, tone: Tone = 'plain'): Cell => ({text, tone})

/** A cell of this width, filled up with blanks. */
export const column = (text: string, width: number, tone: Tone = 'plain'): Cell => ({
  text: padToWidth(text, width),
  tone,
})

/** The cells that fit into `width`; the one that does not is cut. */
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

/** The same with some at the right end; these are whole, and the others get what is left. */
export function spread(width: number, left: readonly Cell[], right: readonly Cell[]): Row {
  const end = row(width - 1, ...right)
  const room = width - rowWidth(end) - 1
  const start = row(Math.max(0, room), ...left)
  return [...start, cell(' '.repeat(Math.max(1, width - rowWidth(start) - rowWidth(end)))), ...end]
}

/** A heading with a line up to the edge. */
export function rule(width: number, title: string): Row {
  const start = row(width - 2, cell('── ', 'dim'), cell(title, 'strong'))
  return [...start, cell(` ${'─'.repeat(Math.max(0, width - rowWidth(start) - 1))}`, 'dim')]
}

const rowWidth = (cells: Row) => cells.reduce((sum, {text}) => sum + textWidth(text), 0)
