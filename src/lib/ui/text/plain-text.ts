import {eastAsianWidth} from 'get-east-asian-width'
import {withoutEscapes} from '../../core/text/escapes.ts'
import {showHidden} from '../../core/text/hidden-characters.ts'

const printableAscii = /^[ -~]*$/
const blanks = /[\t\n\v\f\r]+/g
/** Characters without their own width, or that change the width of neighbours in some terminals: joiners, selectors, … */
const invisible = /[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Emoji_Modifier}\u20e3]/gu
const unknown = /[\p{Cs}\p{Cn}\p{Co}\u1160-\u11ff\ud7b0-\ud7ff]/gu
const flagLetters = /[\u{1f1e6}-\u{1f1ff}]/gu
const piledMarks = /([\p{Mn}\p{Me}]{2})[\p{Mn}\p{Me}]+/gu
const widthless = /^[\p{Mn}\p{Me}]$/u

/**
 * Converts text to one line that has the same width in every terminal. It has no escape sequences, hidden characters are
 * codes, and each character is one or two cells wide. Foreign text must not move the cursor or shift the text beside it.
 */
export function toPlain(text: string): string {
  if (printableAscii.test(text)) return text
  return showHidden(withoutEscapes(text).replaceAll(blanks, ' '))
    .normalize('NFC')
    .replaceAll(flagLetters, (letter) => String.fromCodePoint((letter.codePointAt(0) ?? 0) - 0x1f1e6 + 0x41))
    .replaceAll(invisible, '')
    .replaceAll(unknown, '\ufffd')
    .replaceAll(piledMarks, '$1')
}

/** Width of a plain text in cells. */
export function textWidth(plain: string): number {
  if (printableAscii.test(plain)) return plain.length
  let cells = 0
  for (const sign of plain) cells += charWidth(sign)
  return cells
}

const charWidth = (sign: string) => (widthless.test(sign) ? 0 : eastAsianWidth(sign.codePointAt(0) ?? 0))

/** Converts to plain text and truncates it to at most `cells`, with an ellipsis. */
export function truncateToWidth(text: string, cells: number): string {
  // Slice first, because the text may be long and a cell takes only a few characters.
  const plain = toPlain(text.slice(0, cells * 8 + 64))
  if (textWidth(plain) <= cells) return plain
  return cells < 1 ? '' : `${takeCells(plain, cells - 1)}…`
}

/** Like `truncateToWidth`, and padded with spaces to exactly `cells`. */
export function padToWidth(text: string, cells: number): string {
  const fitting = truncateToWidth(text, cells)
  return fitting + ' '.repeat(Math.max(0, cells - textWidth(fitting)))
}

/** Converts to plain text and wraps it into lines of at most `cells`. */
export function wrap(text: string, cells: number): string[] {
  const lines: string[] = []
  const width = Math.max(2, cells) // no character is wider than two cells
  let rest = toPlain(text)
  while (textWidth(rest) > width) {
    const head = takeCells(rest, width)
    const blank = head.lastIndexOf(' ')
    // Break at a space, unless that wastes a third of the line.
    const end = blank > (head.length * 2) / 3 ? blank : head.length
    lines.push(rest.slice(0, end))
    rest = rest.slice(end).trimStart()
  }

  lines.push(rest)
  return lines
}

/** The longest beginning of the text that fits. */
function takeCells(plain: string, cells: number): string {
  if (printableAscii.test(plain)) return plain.slice(0, cells)
  let used = 0
  let head = ''
  for (const sign of plain) {
    used += charWidth(sign)
    if (used > cells) break
    head += sign
  }

  return head
}
