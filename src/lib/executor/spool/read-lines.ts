import {lineSplitter} from '../../opencode/output/line-splitter.ts'
import {follow} from './follow.ts'

export type ReadLinesOptions = {
  path: string
  /** Start offset, in bytes. */
  from: number
  /** Aborted when nothing more is written. */
  ended: AbortSignal
  /** Undefined stands for a line that was too long. */
  onLine: (line: string | undefined) => void
  /** Called for each piece, before its lines. */
  onPiece?: () => void
  /** Called after the lines of a piece, with the offset of its end. */
  onRead?: (to: number) => void
}

const pieceBytes = 64 * 1024
const never = new AbortController().signal

/** Reads the lines of a file that still grows, to its end. Resolves when `ended` is aborted and all is read. */
export async function readLines({path, from, ended, onLine, onPiece, onRead}: ReadLinesOptions): Promise<void> {
  let at = from
  const lines = lineSplitter(onLine)
  for await (const {bytes} of follow({path, from, maxBytes: pieceBytes, ended, signal: never})) {
    onPiece?.()
    lines.push(bytes)
    at += bytes.length
    onRead?.(at)
  }

  lines.end()
}
