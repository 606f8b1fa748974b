const newline = 10

/** Longer lines are skipped without being kept in memory. */
export const maxLineBytes = 8 * 1024 * 1024

export type LineSplitter = {
  /** Calls `onLine` for each line that ends in `bytes`. `bytes` may be reused afterwards. */
  push(bytes: Buffer): void
  /** Calls `onLine` for the rest after the last newline. */
  end(): void
}

/**
 * Splits a stream of bytes into lines. Invalid UTF-8 becomes U+FFFD, and a line over `maxBytes` becomes undefined. A line
 * within one piece is not copied, except to its string.
 */
export function lineSplitter(onLine: (line: string | undefined) => void, maxBytes = maxLineBytes): LineSplitter {
  let pending: Buffer[] = []
  let length = 0

  const append = (part: Buffer) => {
    if (part.length === 0) return
    length += part.length
    if (length > maxBytes) pending = []
    else pending.push(Buffer.from(part))
  }
  const finish = () => {
    onLine(length > maxBytes ? undefined : Buffer.concat(pending).toString())
    pending = []
    length = 0
  }

  return {
    push(bytes) {
      let start = 0
      for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, start)) {
        if (length === 0 && at - start <= maxBytes) onLine(bytes.toString('utf8', start, at))
        else {
          append(bytes.subarray(start, at))
          finish()
        }
        start = at + 1
      }

      append(bytes.subarray(start))
    },
    end() {
      if (length > 0) finish()
    },
  }
}
