/** The known names that are closest to a mistyped one, best first. */
export function nearestNames(name: string, known: Iterable<string>, max = 3): string[] {
  const wanted = name.toLowerCase()
  const limit = Math.max(2, Math.floor(wanted.length / 3))
  return [...new Set(known)]
    .map((candidate) => {
      const low = candidate.toLowerCase()
      const part = wanted.length >= 3 && (low.includes(wanted) || wanted.includes(low))
      return {candidate, distance: part ? 1 : editDistance(wanted, low)}
    })
    .filter(({distance}) => distance <= limit)
    .sort((a, b) => a.distance - b.distance || a.candidate.localeCompare(b.candidate))
    .slice(0, max)
    .map(({candidate}) => candidate)
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({length: b.length + 1}, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const swap = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, swap))
    }

    previous = row
  }

  return previous[b.length] ?? 0
}
