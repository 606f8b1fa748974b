import {closeSync, openSync, readSync, statSync} from 'node:fs'
import {lineSplitter} from '../../opencode/output/line-splitter.ts'

export type GrowingFile = {
  /** Reads what was appended since the last call. Returns whether the file has changed in any way. */
  read(): boolean
}

/** At most this much is read per call, so that a file that grows fast delays nothing. */
const maxBytes = 512 * 1024

/** A file of lines that others append to. It may not exist yet. Of a large file the first read takes only the end. */
export function growingFile(path: string, onLine: (line: string) => void): GrowingFile {
  const lines = lineSplitter((line) => line !== undefined && onLine(line))
  let offset: number | undefined
  let stamp = ''
  return {
    read() {
      const stats = statSync(path, {throwIfNoEntry: false})
      const now = stats ? `${stats.ino} ${stats.size} ${stats.mtimeMs}` : ''
      if (!stats || now === stamp) return false
      const isFirst = stamp === ''
      stamp = now
      if (offset === undefined || offset > stats.size || stats.size - offset > maxBytes)
        offset = Math.max(0, stats.size - maxBytes)
      if (stats.size > offset) offset += readFrom(path, offset, stats.size - offset, lines.push)
      return !isFirst
    },
  }
}

function readFrom(path: string, offset: number, length: number, onBytes: (bytes: Buffer) => void): number {
  const fd = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(length)
    const count = readSync(fd, buffer, 0, length, offset)
    onBytes(buffer.subarray(0, count))
    return count
  } finally {
    closeSync(fd)
  }
}
