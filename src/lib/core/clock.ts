/** Time as the program sees it; tests put in their own where waiting would be silly. */
export interface Clock {
  /** Wall clock, ms since 1970. */
  now(): number
  /** Never goes back, ms since an arbitrary point. For leases and deadlines. */
  monotonic(): number
  /** Resolves after `ms`, or early when `signal` is aborted. Never rejects: a loop has one way out. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const done = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal?.addEventListener('abort', done, {once: true})
    }),
}

/** RFC 3339 in UTC, as everything on the wire is written. */
export const isoTime = (ms: number) => new Date(ms).toISOString()

/** Reads a wire timestamp; one without a zone is UTC (the existing server writes both forms). Undefined if it is none. */
export function parseTime(text: string | null | undefined): number | undefined {
  if (!text) return undefined
  const zoned = /(?:Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`
  const ms = Date.parse(zoned)
  return Number.isNaN(ms) ? undefined : ms
}
