/**
 * A table of Markdown.
 * @param {string[]} head
 * @param {string[][]} rows
 */
export const table = (head, rows) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.map(escape).join(' | ')} |`).join('\n')

/** A line feed would end the row, and a bar the cell. */
const escape = (text) => text.replaceAll('\n', ' ').replaceAll(/(?<!\\)\|/g, '\\|')

/** @param {unknown} value */
export const code = (value) => `\`${value}\``
