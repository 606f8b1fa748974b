import {closeSync, type FSWatcher, openSync, readSync, watch} from 'node:fs'
import {setImmediate as nextTurn} from 'node:timers/promises'

export type FollowOptions = {
  path: string
  /** Where to begin, in bytes. */
  from: number
  /** The most that one piece has. */
  maxBytes: number
  /** Nothing more will be written: the file is read to its end, and that is all. */
  ended: AbortSignal
  /** Leave at once. */
  signal: AbortSignal
  /** After it was woken it waits so long for more, ms; not before its first piece. Default: 0. */
  settleMs?: number
  /** False: pieces end with a line, but for the last one and for lines over `maxBytes`. Default: as it comes. */
  yieldPartial?: boolean
}

/** At most one read in this time once a first was made: a writer of many small lines costs 80 reads, not 70,000. */
const quietMs = 5
/** For what `fs.watch` does not see: network file systems, and a used-up limit of watches. */
const pollMs = 1000
const newline = 10

/**
 * Reads a file that still grows. Reads are synchronous: what was just written is in memory, and a piece takes 20 µs there
 * against 300 µs by way of the thread pool. Between full pieces others have their turn. The bytes are of one buffer that is used again: they are valid until the next piece
 * is asked for.
 */
export async function* follow(options: FollowOptions): AsyncGenerator<{offset: number; bytes: Buffer}> {
  const {path, maxBytes, ended, signal} = options
  const file = openSync(path, 'r')
  // Before the first read, else a write between the two would wait for the next one.
  const bell = createBell(path, [ended, signal])
  try {
    const buffer = Buffer.allocUnsafe(maxBytes)
    let offset = options.from
    while (!signal.aborted) {
      const isLast = ended.aborted
      const readAt = performance.now()
      bell.reset()
      let filled = maxBytes
      while (filled === maxBytes) {
        filled = readSync(file, buffer, 0, maxBytes, offset)
        const length = options.yieldPartial === false && !isLast ? wholeLines(buffer, filled) : filled
        if (length > 0) yield {offset, bytes: buffer.subarray(0, length)}
        if (signal.aborted) return
        offset += length
        if (filled === maxBytes) await nextTurn()
      }

      if (isLast) return
      await bell.rung()
      if (options.settleMs && offset > options.from && !ended.aborted) await bell.quiet(options.settleMs)
      const pause = quietMs - (performance.now() - readAt)
      if (pause > 0 && !ended.aborted && !signal.aborted) await bell.quiet(pause)
    }
  } finally {
    bell[Symbol.dispose]()
    closeSync(file)
  }
}

/** How much of a piece to give: up to the last newline, or all of a full one that has none. */
function wholeLines(buffer: Buffer, filled: number): number {
  const end = buffer.subarray(0, filled).lastIndexOf(newline) + 1
  return end === 0 && filled === buffer.length ? filled : end
}

/** Rings when the file changes, at each poll, and when one of the signals is aborted. */
function createBell(path: string, signals: AbortSignal[]) {
  let isRung = false
  let answer = () => {}
  const ring = () => {
    isRung = true
    answer()
  }
  let hurry = () => {}
  const onAbort = () => {
    ring()
    hurry()
  }
  // What nobody writes to any more needs no watch, and to end one takes the kernel half a millisecond.
  const isOver = signals.some(({aborted}) => aborted)
  const watcher = isOver ? undefined : watchFile(path, ring)
  const timer = setInterval(ring, pollMs)
  for (const signal of signals) signal.addEventListener('abort', onAbort)

  return {
    reset() {
      isRung = false
    },
    /** Resolves once it has rung since the last reset. */
    rung: () =>
      new Promise<void>((resolve) => {
        if (isRung) resolve()
        else answer = resolve
      }),
    /** Resolves after `ms`, or as soon as a signal is aborted. */
    quiet: (ms: number) =>
      new Promise<void>((resolve) => {
        const timeout = setTimeout(resolve, ms)
        hurry = () => {
          clearTimeout(timeout)
          resolve()
        }
      }),
    [Symbol.dispose]() {
      watcher?.close()
      clearInterval(timer)
      for (const signal of signals) signal.removeEventListener('abort', onAbort)
    },
  }
}

function watchFile(path: string, onChange: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, onChange)
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return undefined // ENOSPC, EMFILE: no watch is left, so the poll has to do
  }
}
