import type {AuditEntry} from '../../protocol/audit-schemas.ts'
import type {Database} from '../../core/sqlite.ts'
import {statements} from './sqlite-tasks.ts'
import type {Maintenance} from './maintenance.ts'
import type {AuditPage, AuditQuery, AuditViews} from './views.ts'

/** Entries looked at for one page. There is no index: each would make every change slower, for a table that is rarely read. */
const maxSeen = 20_000
/** Entries removed at once. */
const maxPruned = 5000

/** The audit in SQLite. Triggers keep its entries from being changed (`migrations.ts`). */
export const sqliteAuditViews = (database: Database): AuditViews => {
  const sql = statements(database)
  return {page: (query, limit) => readPage(sql, query, limit)}
}

/** Returns the function that removes some of the oldest entries over a limit. It returns whether there may be more. */
export function auditPruner(database: Database): Maintenance['pruneAudit'] {
  const sql = statements(database)
  return ({before, maxRows}) => {
    const {first, last} = bounds(sql)
    if (first === undefined || last === undefined) return false
    const young = sql('SELECT n FROM audit WHERE n < ? AND at >= ? ORDER BY n LIMIT 1')
    const most = first + maxPruned
    const byAge = Number(young.get(most, before)?.['n'] ?? most)
    const end = Math.min(Math.max(byAge, last - maxRows + 1), most, last)
    return end > first && sql('DELETE FROM audit WHERE n < ?').run(end).changes === maxPruned
  }
}

type Sql = ReturnType<typeof statements>

function bounds(sql: Sql): {first: number | undefined; last: number | undefined} {
  // two lookups: one query for both would read all rows
  const first = sql('SELECT min(n) AS n FROM audit').get()?.['n']
  const last = sql('SELECT max(n) AS n FROM audit').get()?.['n']
  return {first: typeof first === 'number' ? first : undefined, last: typeof last === 'number' ? last : undefined}
}

function readPage(sql: Sql, {start, from, ...equal}: AuditQuery, limit: number): AuditPage {
  const {first = 1, last = 0} = bounds(sql)
  const isNewestFirst = 'before' in start
  const [low, high] = isNewestFirst
    ? [Math.max(first, (start.before ?? last + 1) - maxSeen), (start.before ?? last + 1) - 1]
    : [start.after + 1, Math.min(last, Math.max(start.after, first - 1) + maxSeen)]
  const wanted = Object.entries(equal).filter(([, value]) => value !== undefined) as [string, string][]
  const where = [...wanted.map(([key]) => `${key} = :${key}`), ...(from === undefined ? [] : ['at >= :from'])]
  const rows = sql(`SELECT n, at, what, who, task_id, worker_id, detail, count FROM audit
    WHERE ${['n BETWEEN :low AND :high', ...where].join(' AND ')} ORDER BY n ${isNewestFirst ? 'DESC' : ''} LIMIT :limit`)
  const found = rows.all({...Object.fromEntries(wanted), ...(from === undefined ? {} : {from}), low, high, limit})
  const entries = found as AuditEntry[]
  const end = isNewestFirst ? low : high
  const seen = entries.length === limit ? (entries.at(-1)?.n ?? end) : end
  const hasMore = isNewestFirst ? seen > first && !isBefore(sql, seen, from) : seen < last
  return {entries, last: hasMore ? seen : undefined}
}

/** Whether all entries before this one are older than `from`. */
const isBefore = (sql: Sql, n: number, from: string | undefined) =>
  from !== undefined && String(sql('SELECT at FROM audit WHERE n = ?').get(n)?.['at']) < from
