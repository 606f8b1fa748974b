import {closeSync, openSync, readSync, watch, type FSWatcher} from 'node:fs'
import {setImmediate as nextTurn} from 'node:timers/promises'

export type FollowOptions = {
  path: string
  from: number
  maxBytes: number
  /** Fires when nobody writes any more: what is there is read to its end, then the following ends. */
  ended: AbortSignal
  /** Fires to give up at once. */
  signal: AbortSignal
}

/** Under steady output the file is read at most this often, in ms; the first bytes after a silence come at once. */
const quietMs = 5
/** A net for file systems without inotify, and for when its watches are used up. */
const pollMs = 1000

/**
 * Follows a file that grows. `bytes` is one buffer that is used again: it is valid until the next pull. The watch is
 * there before the first read, so that no write is missed.
 */
export async function* follow(options: FollowOptions): AsyncGenerator<{offset: number; bytes: Buffer}> {
  const {path, from, maxBytes, ended, signal} = options
  const bell = new Bell()
  const fd = openSync(path, 'r')
  const watcher = tryWatch(path, bell.ring)
  const poll = setInterval(bell.ring, pollMs)
  for (const source of [ended, signal]) source.addEventListener('abort', bell.ring)
  try {
    const buffer = Buffer.allocUnsafe(maxBytes)
    let offset = from
    while (!signal.aborted) {
      const isLast = ended.aborted
      const length = readSync(fd, buffer, 0, maxBytes, offset)
      if (length > 0) {
        yield {offset, bytes: buffer.subarray(0, length)}
        offset += length
        // A reader that never waits would otherwise keep the event loop to itself.
        if (length === maxBytes) await nextTurn()
        else if (!isLast) await bell.quiet(quietMs, ended)
        continue
      }

      if (isLast) return
      await bell.wait()
    }
  } finally {
    for (const source of [ended, signal]) source.removeEventListener('abort', bell.ring)
    clearInterval(poll)
    watcher?.close()
    closeSync(fd)
  }
}

function tryWatch(path: string, onChange: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, onChange)
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return undefined
  }
}

/** Remembers a ring until somebody waits. */
class Bell {
  #rang = false
  #answer: (() => void) | undefined

  readonly ring = (): void => {
    this.#rang = true
    this.#answer?.()
  }

  async wait(): Promise<void> {
    if (!this.#rang) await new Promise<void>((resolve) => (this.#answer = resolve))
    this.#answer = undefined
    this.#rang = false
  }

  /** Lets `ms` pass, unless `until` fires. */
  async quiet(ms: number, until: AbortSignal): Promise<void> {
    if (until.aborted) return
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer)
        until.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      until.addEventListener('abort', done)
    })
  }
}
