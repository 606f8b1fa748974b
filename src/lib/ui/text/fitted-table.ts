import {padToWidth, textWidth, toPlain} from './plain-text.ts'
import {unpainted, type Paint, type TextTone} from './paint.ts'

export type Cell = string | {text: string; tone: TextTone}

export type Column = {
  heading: string
  /** It may be shortened to this width. Otherwise it is shown whole. */
  min?: number
  /** Of a path the end tells more than the beginning. */
  keepsEnd?: true
  /** Columns with higher numbers are left out first if there is no room. Without a number it is always shown. */
  omit?: number
}

export type Screen = {
  /** Width of the terminal in cells. Undefined: the output is no terminal, and nothing is shortened. */
  width: number | undefined
  paint: Paint
}

/** For output that is no terminal. */
export const noScreen: Screen = {width: undefined, paint: unpainted}

const gap = '  '

/** Formats rows as a table that is no wider than the terminal: columns are shortened, then left out. */
export function fittedTable(columns: readonly Column[], rows: readonly (readonly Cell[])[], screen: Screen): string {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === 'string' ? {text: cell} : cell)))
  const natural = columns.map(({heading}, i) =>
    cells.reduce((most, row) => Math.max(most, textWidth(toPlain(row[i]?.text ?? ''))), heading.length),
  )
  const widths = fit(columns, natural, screen.width ?? Infinity)
  const shown = columns.map((_, i) => i).filter((i) => (widths[i] ?? 0) > 0)
  const line = (row: readonly {text: string; tone?: TextTone}[]) =>
    shown
      .map((i) => {
        const {text = '', tone} = row[i] ?? {}
        const padded = pad(text, widths[i] ?? 0, columns[i])
        // Spaces stay unpainted, so that the end of the line can be trimmed.
        return tone === undefined ? padded : padded.replace(/\S.*\S|\S/, (word) => screen.paint(tone, word))
      })
      .join(gap)
      .trimEnd()
  return [columns.map(({heading: text}) => ({text})), ...cells].map(line).join('\n')
}

/** The width of each column; 0 for one that is left out. */
function fit(columns: readonly Column[], natural: readonly number[], width: number): number[] {
  const widths = [...natural]
  const excess = () => {
    const shown = widths.filter((n) => n > 0)
    return shown.reduce((sum, n) => sum + n, 0) + gap.length * (shown.length - 1) - width
  }
  const order = columns.map((_, i) => i).sort((a, b) => (columns[b]?.omit ?? 0) - (columns[a]?.omit ?? 0))
  const least = () => columns.reduce((sum, {min}, i) => sum + Math.max(0, (widths[i] ?? 0) - (min ?? Infinity)), 0)
  for (const i of order) if (excess() > least() && columns[i]?.omit !== undefined) widths[i] = 0
  // The widest column that may be shortened gives first, so that all keep what they can.
  for (let over = excess(); over > 0; over--) {
    const candidates = columns.map((_, i) => i).filter((i) => (widths[i] ?? 0) > (columns[i]?.min ?? Infinity))
    const widest = candidates.sort((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))[0]
    if (widest === undefined) break
    widths[widest] = (widths[widest] ?? 0) - 1
  }
  return widths
}

function pad(text: string, width: number, column: Column | undefined): string {
  const plain = toPlain(text)
  if (column?.keepsEnd !== true || textWidth(plain) <= width) return padToWidth(plain, width)
  let end = plain
  while (textWidth(end) > width - 1) end = [...end].slice(1).join('')
  return padToWidth(`…${end}`, width)
}
