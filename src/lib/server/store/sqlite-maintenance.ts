import {limits} from '../../protocol/limits.ts'
import {isoTime, parseTime} from '../../core/clock.ts'
import type {Database} from '../../core/sqlite.ts'
import type {LiveState} from '../state/live-state.ts'
import {all} from '../state/records.ts'
import type {Maintenance} from './maintenance.ts'
import {auditPruner} from './sqlite-audit.ts'
import {statements} from './sqlite-tasks.ts'

/** Rows dropped at once. The existing worker sends one row per line. */
const maxRows = 2000
/** Tasks removed at once. */
const maxTasks = 100

/** Runs work that writes to the database, atomically. */
export type Write = <Result>(work: () => Result) => Result

/** What retention removes from the database. */
export function sqliteMaintenance(database: Database, write: Write, state: LiveState): Maintenance {
  const sql = statements(database)
  return {
    ...outputDropping(database, write),
    pruneAudit: auditPruner(database),
    pruneTasks: (before) => write(() => pruneTasks(database, before)),
    countEnded: (before) => Number(sql('SELECT count(*) AS n FROM tasks WHERE completed_at < ?').get(before)?.['n']),
    forgetRequests(before) {
      const old = sql('SELECT 1 FROM idempotency WHERE created_at < ? LIMIT 1').get(before)
      if (old) write(() => sql('DELETE FROM idempotency WHERE created_at < ?').run(before))
    },
    saveContacts: (olderThanMs) => saveContacts(olderThanMs, {database, write, state}),
  }
}

function outputDropping(
  database: Database,
  write: Write,
): Pick<Maintenance, 'storedChars' | 'oldestOutput' | 'dropOutput'> {
  const sql = statements(database)
  const hasOutput = 'completed_at IS NOT NULL AND output_dropped = 0'
  const remove = sql('DELETE FROM outputs WHERE task_id = ? AND seq <= ?')
  const note = sql(`UPDATE tasks SET output_first = ?, output_chars = max(0, output_chars - ?),
    output_lost = output_lost + ? WHERE id = ?`)
  const cut = sql(`UPDATE tasks SET output_dropped = 1, output_chars = 0,
    result = CASE WHEN length(result) > :most THEN substr(result, -:most) ELSE result END WHERE id = :id`)
  const first = sql(`SELECT seq, octet_length(data) AS bytes FROM outputs WHERE task_id = ? ORDER BY seq LIMIT ?`)
  const drop = (taskId: string, most: number) => {
    const rows = first.all(taskId, maxRows)
    let bytes = 0
    let count = 0
    for (; count < rows.length && bytes < most; count++) bytes += Number(rows[count]?.['bytes'])
    const last = rows[count - 1]?.['seq']
    if (last !== undefined) {
      remove.run(taskId, Number(last))
      note.run(Number(last) + 1, bytes, bytes, taskId)
    }

    const isEmpty = count === rows.length && rows.length < maxRows
    if (!isEmpty) return bytes
    const chars = Number(sql('SELECT output_chars AS chars FROM tasks WHERE id = ?').get(taskId)?.['chars'])
    cut.run({most: limits.result, id: taskId})
    return bytes + chars
  }
  return {
    storedChars: () =>
      Number(sql(`SELECT coalesce(sum(output_chars), 0) AS chars FROM tasks WHERE ${hasOutput}`).get()?.['chars']),
    oldestOutput: () =>
      sql(
        `SELECT id AS task_id, completed_at FROM tasks WHERE ${hasOutput} ORDER BY completed_at LIMIT 1`,
      ).get() as ReturnType<Maintenance['oldestOutput']>,
    dropOutput: (taskId, most) => write(() => drop(taskId, most)),
  }
}

/** Removes the tasks that ended first, with their output, which retention has dropped in pieces where it was long. */
function pruneTasks(database: Database, before: string): boolean {
  const sql = statements(database)
  const old = sql('SELECT id FROM tasks WHERE completed_at < ? ORDER BY completed_at LIMIT ?').all(before, maxTasks)
  let rows = 0
  for (const {id} of old) {
    const id_ = String(id)
    rows += Number(
      sql('DELETE FROM outputs WHERE id IN (SELECT id FROM outputs WHERE task_id = ? LIMIT ?)').run(id_, maxRows)
        .changes,
    )
    if (rows >= maxRows) return true // the rest of its output is removed in the next step
    sql('DELETE FROM inputs WHERE task_id = ?').run(id_)
    sql('DELETE FROM tasks WHERE id = ?').run(id_)
  }
  return old.length === maxTasks
}

type Contacts = {database: Database; write: Write; state: LiveState}

/** Contacts of a minute are one write: a heartbeat alone writes nothing. */
function saveContacts(olderThanMs: number, {database, write, state}: Contacts): void {
  const sql = statements(database)
  const due: {worker_id: string; at: string}[] = []
  for (const {worker_id, last_seen} of state.find('knownWorkers', all)) {
    const seen = state.get('presence', worker_id)?.lastSeen ?? 0
    if (seen - (parseTime(last_seen) ?? 0) > olderThanMs) due.push({worker_id, at: isoTime(seen)})
  }
  if (due.length === 0) return
  write(() => {
    for (const {worker_id, at} of due) sql('UPDATE workers SET last_seen = ? WHERE worker_id = ?').run(at, worker_id)
  })
  for (const {worker_id, at} of due) {
    const worker = state.get('worker', worker_id)
    if (worker) state.apply([{do: 'put', kind: 'worker', id: worker_id, record: {...worker, last_seen: at}}])
  }
}
