import {withoutEscapes} from './escapes.ts'
import {showHidden} from './hidden-characters.ts'

/** Foreign text as one line of at most `maxChars`, without escape sequences, and with hidden characters as codes. */
export function plainLine(text: string, maxChars = 80): string {
  // sliced first, because the text may have megabytes
  const start = withoutEscapes(text.slice(0, 8 * maxChars + 64)).replaceAll(/[\t\n\v\f\r]+/g, ' ')
  const line = showHidden(start.trim())
  return line.length > maxChars ? `${line.slice(0, maxChars - 1)}…` : line
}

/** Foreign text without escape sequences, and with hidden characters as codes. Newlines and tabs stay. */
export const plainText = (text: string): string =>
  showHidden(withoutEscapes(text).replaceAll('\r\n', '\n'), {kept: '\n\t'})
