import type {Context} from 'hono'
import * as v from 'valibot'
import {limits} from '../../protocol/limits.ts'
import {parseJson} from '../../protocol/parse.ts'
import type {AppEnv} from './app-env.ts'
import {HttpError} from './http-error.ts'

/** The header with the cursor of the next page. Absent on the last page. */
export const nextCursorHeader = 'X-Next-Cursor'

/** The header that says that a list has the requested order. A server that cannot sort does not send it. */
export const orderHeader = 'X-Order'

const maxLimit = 1000

/** Reads the query's `limit`, capped to the maximum page size. */
export function readLimit<F>(text: string | undefined, fallback: F): number | F {
  if (text === undefined) return fallback
  if (!/^[1-9]\d*$/.test(text)) throw new HttpError(400, 'limit must be a number from 1 on')
  return Math.min(Number(text), maxLimit)
}

/** Encodes the sort key of a page's last entry as an opaque cursor. */
export const toCursor = (key: readonly (string | number)[]) => Buffer.from(JSON.stringify(key)).toString('base64url')

/** Decodes a query's `cursor`. Throws 400 if it does not match the schema. */
export function readCursor<const S extends v.GenericSchema<unknown, unknown>>(
  text: string | undefined,
  schema: S,
): v.InferOutput<S> | undefined {
  if (text === undefined) return undefined
  const result = v.safeParse(schema, parseJson(Buffer.from(text, 'base64url').toString('utf8')))
  if (!result.success) throw new HttpError(400, 'cursor is none of ours')
  return result.output
}

const textKey = v.array(v.string())

/** A page, the last item that is in it, and whether more follow. */
export type Page<T, S> = {shown: S[]; last: T | undefined; hasMore: boolean}

/**
 * Shows items until the page has `max` of them, or so many that their JSON is longer than `limits.page`. It has at least
 * one, so that the next page always gets further.
 */
export function fillPage<T, S>(items: Iterable<T>, max: number, show: (item: T) => S): Page<T, S> {
  const shown: S[] = []
  let last: T | undefined
  let bytes = 0
  for (const item of items) {
    if (shown.length >= max) return {shown, last, hasMore: true}
    const next = show(item)
    bytes += Buffer.byteLength(JSON.stringify(next))
    if (shown.length > 0 && bytes > limits.page) return {shown, last, hasMore: true}
    shown.push(next)
    last = item
  }

  return {shown, last, hasMore: false}
}

/**
 * A page of a list in memory, sorted by key. Without a `limit` it is the complete list, unless that is too long: then it
 * has a next page, too.
 */
export function pageOf<T, S>(
  c: Context<AppEnv>,
  items: readonly T[],
  keyOf: (item: T) => string[],
  show: (item: T) => S,
): S[] {
  const {limit, cursor} = c.req.query()
  const after = readCursor(cursor, textKey)
  const max = readLimit(limit, Number.POSITIVE_INFINITY)
  const keyed = items.map((item) => ({item, key: keyOf(item)})).sort((a, b) => compare(a.key, b.key))
  const rest = after ? keyed.filter(({key}) => compare(key, after) > 0) : keyed
  const {shown, last, hasMore} = fillPage(rest, max, ({item}) => show(item))
  if (last && hasMore) c.header(nextCursorHeader, toCursor(last.key))
  return shown
}

/** For lists whose items are shown as they are. */
export const asIs = <T>(item: T): T => item

function compare(a: readonly string[], b: readonly string[]): number {
  for (const [index, word] of a.entries()) {
    const other = b[index] ?? ''
    if (word !== other) return word < other ? -1 : 1
  }

  return 0
}
