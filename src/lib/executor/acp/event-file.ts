import {closeSync, constants, existsSync, fstatSync, ftruncateSync, openSync, readSync, writeSync} from 'node:fs'
import type {AgentEvent} from '../../acp/fold.ts'

const newline = 10
const pieceBytes = 64 * 1024

/** The number of complete lines of a file, the bytes that they take, and what follows them. */
function countLines(fd: number): {lines: number; bytes: number; rest: string} {
  const buffer = Buffer.allocUnsafe(pieceBytes)
  const size = fstatSync(fd).size
  let [lines, bytes] = [0, 0]
  for (let at = 0; at < size;) {
    const read = readSync(fd, buffer, 0, pieceBytes, at)
    if (read === 0) break
    for (
      let found = buffer.indexOf(newline);
      found !== -1 && found < read;
      found = buffer.indexOf(newline, found + 1)
    ) {
      lines += 1
      bytes = at + found + 1
    }
    at += read
  }

  const rest = Buffer.alloc(Math.min(size - bytes, 200))
  readSync(fd, rest, 0, rest.length, bytes)
  return {lines, bytes, rest: rest.toString()}
}

/** The number of events that a run has. */
export function countEvents(path: string): number {
  if (!existsSync(path)) return 0
  const fd = openSync(path, 'r')
  try {
    return countLines(fd).lines
  } finally {
    closeSync(fd)
  }
}

/**
 * The events of a run, folded from the messages of its agent. They are a function of those messages, except for their
 * times. So another process writes them again from the start of the agent, and skips what is there.
 */
export class EventFile implements Disposable {
  readonly #fd: number
  readonly #now: () => number
  #skipped: number
  /** The time in an event that was cut by a kill: a part of it may be sent. */
  #cutTime: number | undefined

  /** `before`: the number of events of earlier agents of the run. `now` in Unix ms. */
  constructor(path: string, before: number, now: () => number) {
    this.#fd = openSync(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, 0o600)
    this.#now = now
    const {lines, bytes, rest} = countLines(this.#fd)
    this.#skipped = lines - before
    const time = /^\{"type":"\w+","timestamp":(\d+),/.exec(rest)?.[1]
    this.#cutTime = time === undefined ? undefined : Number(time)
    if (rest !== '') ftruncateSync(this.#fd, bytes)
  }

  add({type, ...event}: AgentEvent): void {
    if (this.#skipped > 0) {
      this.#skipped -= 1
      return
    }
    const timestamp = this.#cutTime ?? this.#now()
    this.#cutTime = undefined
    writeAll(this.#fd, Buffer.from(`${JSON.stringify({type, timestamp, ...event})}\n`))
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at)
}
