const twoDigits = (n: number) => String(n).padStart(2, '0')

/** The local time of day, `HH:MM:SS`. */
export function timeOfDay(ms: number): string {
  const date = new Date(ms)
  return `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}:${twoDigits(date.getSeconds())}`
}

/** An elapsed time: `0.5 s`, and from one minute on `1:30`. */
export const formatElapsed = (ms: number) => (ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : formatDuration(ms))

/** A running clock: `6 s`, and from one minute on `1:30`. */
export const formatClock = (ms: number) =>
  ms < 60_000 ? `${Math.floor(Math.max(0, ms) / 1000)} s` : formatDuration(ms)

/** A duration: `0:07`, `12:34`, `3:25:09`, and from 100 hours on `4d 4h`. At most 8 characters for 27 years. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  if (hours >= 100) return `${Math.floor(hours / 24)}d ${hours % 24}h`
  return hours > 0
    ? `${hours}:${twoDigits(minutes)}:${twoDigits(seconds % 60)}`
    : `${minutes}:${twoDigits(seconds % 60)}`
}

/** Time since `from` (both in ms) in the largest unit that fits: `5 s`, `3 min`, `2 h`, `4 d`. */
export function age(from: number | undefined, now: number): string {
  if (from === undefined) return '-'
  const seconds = Math.max(0, Math.round((now - from) / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}
