import {isUtf8} from 'node:buffer'

const quote = 0x22
const backslash = 0x5c
const firstPrintable = 0x20
/** The characters after the backslash of the short escapes in JSON (RFC 8259, section 7), by byte. */
const short = new Map([...'"\\\b\f\n\r\t'].map((char) => [char.charCodeAt(0), JSON.stringify(char).charCodeAt(2)]))

/** Memory for one body after the other. */
export type BodyMemory = {buffer: Buffer}

/**
 * The JSON text of an object with one more field, last, whose value is a text in UTF-8. Large texts as strings would cost
 * four times their size in memory: as text, as JSON, and as bytes again. Invalid bytes become U+FFFD. The result lies in
 * `memory`, so it is valid only until the next call with it.
 */
export function jsonWithBytes(fields: object, name: string, text: Buffer, memory: BodyMemory): Buffer {
  const bytes = isUtf8(text) ? text : Buffer.from(text.toString('utf8'))
  const open = JSON.stringify({...fields, [name]: ''}).slice(0, -2)
  const size = Buffer.byteLength(open) + escapedLength(bytes) + 2
  if (memory.buffer.length < size) memory.buffer = Buffer.allocUnsafe(size * 2)
  const body = memory.buffer
  let at = body.write(open)
  for (let from = 0; from < bytes.length; from++) {
    const byte = bytes[from] ?? 0
    if (byte >= firstPrintable && byte !== quote && byte !== backslash) {
      body[at++] = byte
      continue
    }

    body[at++] = backslash
    const code = short.get(byte)
    if (code === undefined) at += body.write(`u00${byte.toString(16).padStart(2, '0')}`, at, 'latin1')
    else body[at++] = code
  }

  at += body.write('"}', at, 'latin1')
  return body.subarray(0, at)
}

function escapedLength(bytes: Buffer): number {
  let length = bytes.length
  for (let from = 0; from < bytes.length; from++) {
    const byte = bytes[from] ?? 0
    if (byte >= firstPrintable && byte !== quote && byte !== backslash) continue
    length += short.has(byte) ? 1 : 5
  }

  return length
}
