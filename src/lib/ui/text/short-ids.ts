const minChars = 8

/** Shortens ids to their beginnings, long enough to tell these ids apart. */
export function shortIds(ids: readonly string[]): (id: string) => string {
  const sorted = [...new Set(ids)].sort()
  let chars = minChars
  for (const [i, id] of sorted.entries()) chars = Math.max(chars, commonChars(id, sorted[i + 1] ?? '') + 1)
  return (id) => id.slice(0, chars)
}

function commonChars(a: string, b: string): number {
  let n = 0
  while (n < a.length && n < b.length && a[n] === b[n]) n += 1
  return n
}
