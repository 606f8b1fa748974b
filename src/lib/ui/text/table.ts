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
