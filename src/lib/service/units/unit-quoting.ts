import {configError} from '../../core/errors.ts'

/** Quotes a text as one word of a unit file. Throws ExpectedError (78) if a unit file cannot contain it. */
export const quoteWord = (text: string) => quoteUnless(text, /^[\w@/.,:+=~-]+$/)

/** Quotes a path in a list of paths, in which an unquoted colon separates source and target. */
export const quotePath = (path: string) => quoteUnless(path, /^[\w@/.,+=~-]+$/)

/** Quotes a word of a command, in which `$` starts a variable. */
export const quoteCommandWord = (text: string) => quoteWord(text).replaceAll('$', '$$$$')

function quoteUnless(text: string, plain: RegExp): string {
  // oxlint-disable-next-line no-control-regex -- a line break in a path would be a directive of its own
  if (/[\u0000-\u001f\u007f]/.test(text))
    throw configError(
      `${JSON.stringify(text)} cannot be written into a unit file.`,
      'Use a text without line breaks and control characters.',
    )
  if (plain.test(text)) return text
  return `"${text.replaceAll(/["\\]/g, '\\$&').replaceAll('%', '%%')}"`
}

/** Splits a line of a unit file into words and removes quotes and escapes. */
export function splitWords(line: string): string[] {
  const words = line.match(/(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+/g) ?? []
  return words.map((word) =>
    word.replaceAll(/"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|\\(.)/g, (_, double?: string, single?: string, one = '') =>
      (double ?? single ?? one).replaceAll(/\\(.)/g, '$1'),
    ),
  )
}
