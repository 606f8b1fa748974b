/** The end of a text that is over `maxBytes` in UTF-8, with a line before it that says how much is missing. */
export function keepTail(text: string, maxBytes: number): string {
  const length = Buffer.byteLength(text)
  if (length <= maxBytes) return text
  const room = maxBytes - 64
  const bytes = Buffer.from(text)
  let from = length - room
  // A cut within a character would leave a replacement character.
  while (from < length && ((bytes[from] ?? 0) & 0xc0) === 0x80) from += 1
  return `[… the first ${from} bytes are left out]\n${bytes.toString('utf8', from)}`
}

/** The last few lines of what a program printed for people, without colours, in at most `maxChars`. */
export function lastLines(text: string, most = 5, maxChars = 1000): string {
  return withoutColours(text)
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-most)
    .join('\n')
    .slice(-maxChars)
}

// oxlint-disable-next-line no-control-regex -- ESC and BEL are what it looks for
const escapes = /\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b[@-_]/g

export const withoutColours = (text: string): string => text.replaceAll(escapes, '')
