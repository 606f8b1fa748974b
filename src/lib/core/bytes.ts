const mib = 1024 ** 2
const gib = 1024 ** 3

/** So many bytes in words, two digits at least. Rounded down, as what is free is not to be promised. */
export function bytes(count: number): string {
  if (count >= 10 * gib) return `${Math.floor(count / gib)} GiB`
  if (count >= 10 * mib) return `${Math.floor(count / mib)} MiB`
  return `${Math.floor((count * 10) / mib) / 10} MiB`
}
