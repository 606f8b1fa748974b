import type {Hono} from 'hono'
import * as v from 'valibot'
import {isoTime, parseTime} from '../core/clock.ts'
import {routes} from '../protocol/routes.ts'
import type {Plane} from './plane/plane.ts'
import type {AppEnv} from './http/app-env.ts'
import {HttpError} from './http/http-error.ts'
import {nextCursorHeader, readCursor, readLimit, toCursor} from './http/paging.ts'

const defaultLimit = 100
const cursorSchema = v.tuple([v.pipe(v.number(), v.integer())])

/**
 * The route of the audit. A page is newest first; with `after` it is oldest first, for those who follow the audit. A page
 * may be empty although there are more: the answer has a cursor then.
 */
export function auditRoutes(app: Hono<AppEnv>, {plane}: {plane: Plane}): void {
  app.get(routes.audit, (c) => {
    const {task_id, worker_id, who, from, after, limit, cursor} = c.req.query()
    const place = readCursor(cursor, cursorSchema)?.[0]
    const start = after === undefined ? {before: place} : {after: place ?? readNumber(after)}
    const query = {task_id, worker_id, who, from: from === undefined ? undefined : readTime(from), start}
    const {entries, last} = plane.views.audit.page(query, readLimit(limit, defaultLimit))
    if (last !== undefined) c.header(nextCursorHeader, toCursor([last]))
    return c.json({entries})
  })
}

function readTime(text: string): string {
  const ms = parseTime(text)
  if (ms === undefined) throw new HttpError(400, 'from must be a time like 2026-01-31T12:00:00Z')
  return isoTime(ms)
}

function readNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new HttpError(400, 'after must be the number of an entry')
  return Number(text)
}
