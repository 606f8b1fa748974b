const mib = 1024 ** 2
const gib = 1024 ** 3

/** Formats a size with at least two digits. Rounds down, so that free space is never overstated. */
export function formatBytes(count: number): string {
  if (count >= Number.MAX_SAFE_INTEGER) return 'unlimited space'
  if (count >= 10 * gib) return `${Math.floor(count / gib)} GiB`
  if (count >= 10 * mib) return `${Math.floor(count / mib)} MiB`
  return `${Math.floor((count * 10) / mib) / 10} MiB`
}
