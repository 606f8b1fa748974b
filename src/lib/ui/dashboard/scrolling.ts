import type {Row} from './cells.ts'
import type {Tail} from '../view/tail.ts'

/** Items, newest last, drawn in `height` rows. An item may take several rows. */
export type ScrollableTail = {tail: Tail<unknown>; height: number; rowsOf: (index: number) => Row[]}

export const scrollable = <T>(tail: Tail<T>, height: number, draw: (item: T) => Row[]): ScrollableTail => ({
  tail,
  height,
  rowsOf: (index) => draw(tail.items[index] as T),
})

/** The visible rows: the newest items that fit, or the items from position `first` on. */
export function visibleRows({tail, height, rowsOf}: ScrollableTail, first: number | undefined): Row[] {
  const rows: Row[] = []
  if (first === undefined) {
    for (let at = tail.items.length - 1; at >= 0 && rows.length < height; at--) rows.unshift(...rowsOf(at))
    return rows.slice(Math.max(0, rows.length - height))
  }

  for (let at = Math.max(0, first - tail.dropped); at < tail.items.length && rows.length < height; at++)
    rows.push(...rowsOf(at))
  return rows.slice(0, height)
}

/** The last position from which all following items fit. Scrolling down to it follows the newest again. */
export function endPosition({tail, height, rowsOf}: ScrollableTail): number {
  let at = tail.items.length
  for (let drawn = 0; at > 0; at--) {
    drawn += rowsOf(at - 1).length
    if (drawn > height) break
  }

  return tail.dropped + at
}
