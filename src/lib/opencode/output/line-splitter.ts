const newline = 10

/** Longer lines are not looked at: they are passed over without being held in memory. */
export const longestLine = 8 * 1024 * 1024

export type LineSplitter = {
  /** Gives each line that `bytes` ends. `bytes` may be reused afterwards. */
  push(bytes: Buffer): void
  /** Gives what is left after the last newline. */
  end(): void
}

/**
 * Cuts a stream of bytes into lines, invalid UTF-8 as U+FFFD. A line over `maxBytes` is given as undefined.
 * A line within one piece costs no copy but the string itself.
 */
export function lineSplitter(onLine: (line: string | undefined) => void, maxBytes = longestLine): LineSplitter {
  let held: Buffer[] = []
  let length = 0

  const hold = (part: Buffer) => {
    if (part.length === 0) return
    length += part.length
    if (length > maxBytes) held = []
    else held.push(Buffer.from(part))
  }
  const finish = () => {
    onLine(length > maxBytes ? undefined : Buffer.concat(held).toString())
    held = []
    length = 0
  }

  return {
    push(bytes) {
      let start = 0
      for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, start)) {
        if (length === 0 && at - start <= maxBytes) onLine(bytes.toString('utf8', start, at))
        else {
          hold(bytes.subarray(start, at))
          finish()
        }
        start = at + 1
      }

      hold(bytes.subarray(start))
    },
    end() {
      if (length > 0) finish()
    },
  }
}
