import {parseTime} from '../../core/clock.ts'
import type {AuditEntry} from '../../protocol/audit-schemas.ts'
import type {Names} from './task-view.ts'
import {plainLine} from '../../core/text/plain-line.ts'

const columns = {what: 19, who: 12, id: 36, shortId: 8}

/** An entry of the audit as a line: when, what, by whom, which task and worker, and the detail. On a terminal with short ids. */
export function auditLine(entry: AuditEntry, {workers}: Pick<Names, 'workers'>, {hasShortIds}: {hasShortIds: boolean}) {
  const {at, what, who, task_id: task, worker_id: id, detail, count} = entry
  const worker = id === null ? '' : `[${plainLine(workers.get(id) ?? id, 30)}] `
  const times = count > 1 ? ` (${count} times within a minute)` : ''
  const width = hasShortIds ? columns.shortId : columns.id
  return [
    localTime(at),
    plainLine(what, 30).padEnd(columns.what),
    plainLine(who ?? '-', 30).padEnd(columns.who),
    plainLine(task?.slice(0, width) ?? '-').padEnd(width),
    `${worker}${plainLine(detail ?? '', 300)}${times}`,
  ]
    .join('  ')
    .trimEnd()
}

/** The local date and time, `2026-01-31 12:00:00`. */
function localTime(at: string): string {
  const ms = parseTime(at)
  if (ms === undefined) return plainLine(at, 30)
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace('T', ' ')
}
