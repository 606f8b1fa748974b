import type {Database} from '../../core/sqlite.ts'
import {limits} from '../../protocol/limits.ts'
import {sqliteAudit} from './sqlite-audit.ts'
import {sqliteRegistry} from './sqlite-registry.ts'
import {sqliteSessions} from './sqlite-sessions.ts'
import {sqliteTasks, statements} from './sqlite-tasks.ts'
import type {OutputStore, Store, StoredOutput} from './store.ts'

/** The store in one SQLite database, which must be migrated. */
export const sqliteStore = (database: Database): Store => ({
  tasks: sqliteTasks(database),
  output: sqliteOutput(database),
  registry: sqliteRegistry(database),
  sessions: sqliteSessions(database),
  audit: sqliteAudit(database),
  size: sizeOf(database),
  reusable: reusableIn(database),
})

function sizeOf(database: Database): () => number {
  const used = database.prepare(`SELECT (page_count - freelist_count) * page_size AS bytes
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size`)
  return () => Number(used.get()?.['bytes'])
}

function reusableIn(database: Database): () => number {
  const free = database.prepare(
    `SELECT freelist_count * page_size AS bytes FROM pragma_freelist_count, pragma_page_size`,
  )
  return () => Number(free.get()?.['bytes'])
}

function sqliteOutput(database: Database): OutputStore {
  const sql = statements(database)
  const append = sql(`INSERT INTO outputs (task_id, seq, attempt, "offset", length, worker_id, timestamp, data)
    VALUES (:task_id, :seq, :attempt, :offset, :length, :worker_id, :timestamp, :output)`)
  const read = `SELECT seq, attempt, "offset", worker_id, timestamp, data AS output FROM outputs
    WHERE task_id = ? AND seq >= ? ORDER BY seq`
  return {
    append: (output) => {
      append.run(output)
    },
    *read(taskId, since) {
      // a statement of its own: a reader may stop early while another one reads
      for (const row of database.prepare(read).iterate(taskId, since)) yield row as StoredOutput
    },
    ...dropping(database),
  }
}

/** Rows dropped at once. The existing worker sends one row per line. */
const maxRows = 2000

function dropping(database: Database): Pick<OutputStore, 'storedChars' | 'oldest' | 'drop'> {
  const sql = statements(database)
  const hasOutput = 'completed_at IS NOT NULL AND output_dropped = 0'
  const remove = sql('DELETE FROM outputs WHERE task_id = ? AND seq <= ?')
  const note = sql(`UPDATE tasks SET output_first = ?, output_chars = max(0, output_chars - ?),
    output_lost = output_lost + ? WHERE id = ?`)
  const cut = sql(`UPDATE tasks SET output_dropped = 1, output_chars = 0,
    result = CASE WHEN length(result) > :most THEN substr(result, -:most) ELSE result END WHERE id = :id`)
  const first = sql(`SELECT seq, octet_length(data) AS bytes FROM outputs WHERE task_id = ? ORDER BY seq LIMIT ?`)
  return {
    storedChars: () =>
      Number(sql(`SELECT coalesce(sum(output_chars), 0) AS chars FROM tasks WHERE ${hasOutput}`).get()?.['chars']),
    oldest: () =>
      sql(
        `SELECT id AS task_id, completed_at FROM tasks WHERE ${hasOutput} ORDER BY completed_at LIMIT 1`,
      ).get() as ReturnType<OutputStore['oldest']>,
    drop(taskId, most) {
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
      return isEmpty ? bytes + finishDropping(taskId) : bytes
    },
  }

  function finishDropping(taskId: string): number {
    const chars = Number(sql('SELECT output_chars AS chars FROM tasks WHERE id = ?').get(taskId)?.['chars'])
    cut.run({most: limits.result, id: taskId})
    return chars
  }
}
