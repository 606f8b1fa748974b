import {closeSync, type FSWatcher, openSync, readSync, watch} from 'node:fs'
import {setImmediate as nextTurn} from 'node:timers/promises'

export type FollowOptions = {
  path: string
  /** Start offset, in bytes. */
  from: number
  /** Maximum size of a piece. */
  maxBytes: number
  /** Aborted when nothing more is written. The file is then read to its end. */
  ended: AbortSignal
  /** Aborted to stop reading at once. */
  signal: AbortSignal
  /** How long to wait for more after a change, in ms. Not before the first piece. Default: 0. */
  settleMs?: number
  /** False: pieces end at line ends, except the last piece and lines over `maxBytes`. Default: true. */
  yieldPartial?: boolean
}

/** The shortest time between reads. A writer of many small lines then costs 80 reads instead of 70,000. */
const quietMs = 5
/** Polling covers what `fs.watch` misses: network file systems, and an exhausted number of watches. */
const pollMs = 1000
const newline = 10

/**
 * Reads a file that still grows. Reads are synchronous: what was just written is in memory, where a piece takes 20 µs,
 * against 300 µs by the thread pool. The event loop gets a turn after each full piece. All pieces share one buffer, so
 * the bytes are valid only until the next piece is requested.
 */
export async function* follow(options: FollowOptions): AsyncGenerator<{offset: number; bytes: Buffer}> {
  const {path, maxBytes, ended, signal} = options
  const file = openSync(path, 'r')
  // Created before the first read. Otherwise a write in between would go unnoticed until the next one.
  const notifier = createNotifier(path, [ended, signal])
  try {
    const buffer = Buffer.allocUnsafe(maxBytes)
    let offset = options.from
    while (!signal.aborted) {
      const isLast = ended.aborted
      const readAt = performance.now()
      notifier.reset()
      let filled = maxBytes
      while (filled === maxBytes) {
        filled = readSync(file, buffer, 0, maxBytes, offset)
        const length = options.yieldPartial === false && !isLast ? lengthOfLines(buffer, filled) : filled
        if (length > 0) yield {offset, bytes: buffer.subarray(0, length)}
        if (signal.aborted) return
        offset += length
        if (filled === maxBytes) await nextTurn()
      }

      if (isLast) return
      await notifier.notified()
      if (options.settleMs && offset > options.from && !ended.aborted) await notifier.pause(options.settleMs)
      const pause = quietMs - (performance.now() - readAt)
      if (pause > 0 && !ended.aborted && !signal.aborted) await notifier.pause(pause)
    }
  } finally {
    notifier[Symbol.dispose]()
    closeSync(file)
  }
}

/** The length up to the last newline, or all of a full piece without one. */
function lengthOfLines(buffer: Buffer, filled: number): number {
  const end = buffer.subarray(0, filled).lastIndexOf(newline) + 1
  return end === 0 && filled === buffer.length ? filled : end
}

/** Notifies when the file changes, at each poll, and when one of the signals is aborted. */
function createNotifier(path: string, signals: AbortSignal[]) {
  let isNotified = false
  let resolveWait = () => {}
  const notify = () => {
    isNotified = true
    resolveWait()
  }
  let endPause = () => {}
  const onAbort = () => {
    notify()
    endPause()
  }
  // A finished file needs no watch, and closing one takes the kernel half a millisecond.
  const isOver = signals.some(({aborted}) => aborted)
  const watcher = isOver ? undefined : watchFile(path, notify)
  const timer = setInterval(notify, pollMs)
  for (const signal of signals) signal.addEventListener('abort', onAbort)

  return {
    reset() {
      isNotified = false
    },
    /** Resolves at the first notification since the last reset. */
    notified: () =>
      new Promise<void>((resolve) => {
        if (isNotified) resolve()
        else resolveWait = resolve
      }),
    /** Resolves after `ms`, or as soon as a signal is aborted. */
    pause: (ms: number) =>
      new Promise<void>((resolve) => {
        const timeout = setTimeout(resolve, ms)
        endPause = () => {
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
    return undefined // ENOSPC, EMFILE: no watch is available, so polling must do
  }
}
