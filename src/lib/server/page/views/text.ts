import {plainText} from '../../../core/text/plain-line.ts'

/** Foreign text of at most so many characters: the start, or the end of it. Hidden characters are codes. */
export function shortText(text: string, maxChars: number, {keepsEnd = false} = {}): string {
  const part = keepsEnd ? text.slice(-maxChars) : text.slice(0, maxChars)
  return plainText(part)
}

/** `$0.0312`, `$0.12`, `$3.40`. */
export const money = (dollars: number): string =>
  dollars === 0 ? '$0' : `$${dollars.toFixed(dollars < 1 ? 4 : 2).replace(/(\.\d\d)0+$/, '$1')}`

const whole = new Intl.NumberFormat('en')

/** `1,234`; from a million on `1.2 M`. */
export const amount = (count: number): string =>
  count < 1_000_000 ? whole.format(count) : `${(count / 1_000_000).toFixed(1)} M`

/** The beginning of an id, as people recognize it. */
export const shortId = (id: string): string => id.slice(0, 8)
