/** The time of the program. Tests replace it where waiting would be pointless. */
export interface Clock {
  /** Wall clock, Unix ms. */
  now(): number
  /** Monotonic clock, ms since an arbitrary point. For leases and deadlines. */
  monotonic(): number
  /** Resolves after `ms`, or when `signal` is aborted. Never rejects, so that a loop has one exit. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** Node fires a timer with a longer delay (24.8 days) at once. */
const maxTimerMs = 2 ** 31 - 1

/** Calls `callback` after `ms`, which may be of any length. Returns the function that cancels it. */
export function startTimer(ms: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout
  const arm = (rest: number) => {
    const next = rest > maxTimerMs ? () => arm(rest - maxTimerMs) : callback
    timer = setTimeout(next, Math.min(rest, maxTimerMs))
  }
  arm(ms)
  return () => clearTimeout(timer)
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const done = () => {
        cancel()
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const cancel = startTimer(ms, done)
      signal?.addEventListener('abort', done, {once: true})
    }),
}

/** RFC 3339 in UTC, the format of all times on the wire. */
export const isoTime = (ms: number) => new Date(ms).toISOString()

/** Parses a wire timestamp to Unix ms. One without a zone is UTC: the existing server writes both. Undefined if invalid. */
export function parseTime(text: string | null | undefined): number | undefined {
  if (!text) return undefined
  const zoned = /(?:Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`
  const ms = Date.parse(zoned)
  return Number.isNaN(ms) ? undefined : ms
}
