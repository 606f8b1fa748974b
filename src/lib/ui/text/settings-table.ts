import {textWidth, toPlain, wrap} from './plain-text.ts'
import {table} from './table.ts'

type Row = {key: string; value: unknown; source: string}

/** Longer values do not widen the column for all. */
const maxValue = 20
const indent = '    '

/** Settings as a table of at most `columns` cells. A setting that is too long for its row gets lines of its own, complete. */
export function settingsTable(settings: readonly Row[], columns: number): string {
  const rows = settings.map(({key, value, source}) => [key, toPlain(textOf(value)), toPlain(source)] as const)
  const headings = ['SETTING', 'VALUE', 'SOURCE'] as const
  if (columns === Infinity) return table(rows, headings)
  const keyWidth = Math.max(...rows.map(([key]) => key.length))
  const short = rows.map(([, value]) => textWidth(value)).filter((width) => width <= maxValue)
  const valueWidth = Math.max(headings[1].length, ...short)
  return [headings, ...rows]
    .flatMap(([key, value, source]) => {
      const line = `${key.padEnd(keyWidth)}  ${value.padEnd(valueWidth)}  ${source}`
      if (textWidth(value) <= valueWidth && textWidth(line) <= columns) return [line]
      return [key, ...[value, `from ${source}`].flatMap((text) => wrapped(text, columns))]
    })
    .join('\n')
}

const wrapped = (text: string, columns: number) =>
  wrap(text, Math.max(10, columns - indent.length)).map((line) => indent + line)

const textOf = (value: unknown) =>
  value === null ? '-' : typeof value === 'string' ? value : (JSON.stringify(value) ?? '-')
