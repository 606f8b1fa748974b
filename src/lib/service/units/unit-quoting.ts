import {configError} from '../../core/errors.ts'

/** A text as one word of a unit file. Throws ExpectedError (78) for one that a unit file cannot hold. */
export const quoteWord = (text: string) => quoteUnless(text, /^[\w@/.,:+=~-]+$/)

/** A path in a list of paths, where a colon outside of quotes would stand between a source and its target. */
export const quotePath = (path: string) => quoteUnless(path, /^[\w@/.,+=~-]+$/)

/** The same for the words of a command, in which `$` begins a variable. */
export const quoteCommandWord = (text: string) => quoteWord(text).replaceAll('$', '$$$$')

function quoteUnless(text: string, plain: RegExp): string {
  // oxlint-disable-next-line no-control-regex -- a line break in a path would be a directive of its own
  if (/[\u0000-\u001f\u007f]/.test(text))
    throw configError(`${JSON.stringify(text)} cannot be written into a unit file.`, 'Use a path without line breaks.')
  if (plain.test(text)) return text
  return `"${text.replaceAll(/["\\]/g, '\\$&').replaceAll('%', '%%')}"`
}

/** The words of a line in a unit file, without their quotes and escapes. */
export function splitWords(line: string): string[] {
  const words = line.match(/(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+/g) ?? []
  return words.map((word) =>
    word.replaceAll(/"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|\\(.)/g, (_, double?: string, single?: string, one = '') =>
      (double ?? single ?? one).replaceAll(/\\(.)/g, '$1'),
    ),
  )
}
