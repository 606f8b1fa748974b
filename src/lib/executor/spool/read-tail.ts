import {closeSync, fstatSync, openSync, readSync} from 'node:fs'
import {withoutEscapes} from '../../core/text/escapes.ts'

const maxBytes = 16 * 1024

/** The end of a file after offset `from`, without colour codes. Empty if it cannot be read. */
export function readTail(path: string, from: number): string {
  try {
    const fd = openSync(path, 'r')
    try {
      const {size} = fstatSync(fd)
      const start = Math.max(from, size - maxBytes)
      const bytes = Buffer.alloc(Math.max(0, size - start))
      const length = readSync(fd, bytes, 0, bytes.length, start)
      return withoutEscapes(bytes.toString('utf8', 0, length))
    } finally {
      closeSync(fd)
    }
  } catch {
    return ''
  }
}
