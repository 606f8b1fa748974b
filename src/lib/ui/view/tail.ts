/** The newest items of a sequence, and the number of dropped ones. `dropped + index` is a stable position. */
export type Tail<T> = {readonly dropped: number; readonly items: readonly T[]}

export const emptyTail: Tail<never> = {dropped: 0, items: []}

/** Appends items and drops the oldest beyond `max`. */
export function append<T>({dropped, items}: Tail<T>, more: readonly T[], max: number): Tail<T> {
  const surplus = Math.max(0, items.length + more.length - max)
  const newest = items.slice(Math.min(surplus, items.length))
  newest.push(...more.slice(-max))
  return {dropped: dropped + surplus, items: newest}
}
