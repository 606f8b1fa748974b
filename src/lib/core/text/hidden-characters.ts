/**
 * Characters that show nothing, or change how the text around them is shown: controls, format characters (among them
 * those for the direction of text) and separators of lines. With them a text can look like another one.
 */
const hidden = String.raw`[\p{Cc}\p{Cf}\u2028\u2029]`
/** Between two pictures a joiner makes them one, like a family. Anywhere else it may hide in a name. */
const emojiJoiner = String.raw`(?<=\p{Extended_Pictographic}[\ufe0f\p{Emoji_Modifier}]{0,2})\u200d(?=\p{Extended_Pictographic})`
const colour = String.raw`\u001b\[[\d;]*m`
const stays = new RegExp(String.raw`(${emojiJoiner})|(${hidden})\2*`, 'gu')
const staysOrColours = new RegExp(String.raw`(${emojiJoiner}|${colour})|(${hidden})\2*`, 'gu')
const inJson = new RegExp(hidden, 'gu')
const plainText = /^[ -~]*$/

type Kept = {
  /** Characters that stay as they are. */
  kept?: string
  /** Sequences that set a colour stay as well. */
  keepsColours?: boolean
}

/** Of more equal ones in a row, the number is shown. */
const mostRepeated = 3

/**
 * The text with hidden characters as codes, like `<U+202E>`, and many equal ones as `<U+0000 ×1000>`. A joiner within an
 * emoji stays.
 */
export function showHidden(text: string, {kept = '', keepsColours = false}: Kept = {}): string {
  if (plainText.test(text)) return text
  return text.replaceAll(
    keepsColours ? staysOrColours : stays,
    (found, part: string | undefined, character: string | undefined) => {
      if (part !== undefined || character === undefined || kept.includes(character)) return found
      const code = `U+${hexOf(character.codePointAt(0) ?? 0)}`
      const count = found.length / character.length
      return count > mostRepeated ? `<${code} ×${count}>` : `<${code}>`.repeat(count)
    },
  )
}

/** The JSON with hidden characters as escapes, like `\u202e`. Its value is the same. Newlines between its parts stay. */
export function escapeHidden(json: string): string {
  if (plainText.test(json)) return json
  return json.replaceAll(inJson, (found) =>
    found === '\n'
      ? found
      : Array.from({length: found.length}, (_, i) => String.raw`\u${hexOf(found.charCodeAt(i)).toLowerCase()}`).join(
          '',
        ),
  )
}

const hexOf = (unit: number) => unit.toString(16).toUpperCase().padStart(4, '0')
