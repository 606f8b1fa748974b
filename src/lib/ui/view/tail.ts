/** The newest of a row of things, and how many went before them: a place in the row stays a place while it moves on. */
export type Tail<T> = {readonly dropped: number; readonly items: readonly T[]}

export const emptyTail: Tail<never> = {dropped: 0, items: []}

/** One more at the end; of those before, the newest that fit. */
export function append<T>({dropped, items}: Tail<T>, more: readonly T[], max: number): Tail<T> {
  const surplus = Math.max(0, items.length + more.length - max)
  const kept = items.slice(Math.min(surplus, items.length))
  kept.push(...more.slice(-max))
  return {dropped: dropped + surplus, items: kept}
}
