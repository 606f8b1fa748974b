import {withoutEscapes} from '../../core/text/escapes.ts'
import {showHidden} from '../../core/text/hidden-characters.ts'

/** Formats rows as columns separated by two spaces. The last column is not padded. No rows give an empty text. */
export function table(rows: readonly (readonly string[])[], headings?: readonly string[]): string {
  const all = headings && rows.length > 0 ? [headings, ...rows] : rows
  const widths = all.reduce<number[]>((most, row) => row.map((cell, i) => Math.max(most[i] ?? 0, cell.length)), [])
  return all
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Time since `from` (both in ms) in the largest unit that fits: `5 s`, `3 min`, `2 h`, `4 d`. */
export function age(from: number | undefined, now: number): string {
  if (from === undefined) return '-'
  const seconds = Math.max(0, Math.round((now - from) / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}

/** Foreign text as one line of at most `maxChars`, without escape sequences, and with hidden characters as codes. */
export function plainLine(text: string, maxChars = 80): string {
  // sliced first, because the text may have megabytes
  const start = withoutEscapes(text.slice(0, 8 * maxChars + 64)).replaceAll(/[\t\n\v\f\r]+/g, ' ')
  const line = showHidden(start.trim())
  return line.length > maxChars ? `${line.slice(0, maxChars - 1)}…` : line
}
