import type {Database} from '../core/sqlite.ts'
import {sqliteRegistry} from './sqlite-registry.ts'
import {sqliteSessions} from './sqlite-sessions.ts'
import {sqliteTasks, statements} from './sqlite-tasks.ts'
import type {OutputStore, Store, StoredOutput} from './store.ts'

/** The store in one SQLite database, which must have been migrated. */
export const sqliteStore = (database: Database): Store => ({
  tasks: sqliteTasks(database),
  output: sqliteOutput(database),
  registry: sqliteRegistry(database),
  sessions: sqliteSessions(database),
  size: sizeOf(database),
})

function sizeOf(database: Database): () => number {
  const used = database.prepare(`SELECT (page_count - freelist_count) * page_size AS bytes
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size`)
  return () => Number(used.get()?.['bytes'])
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
      // its own statement each time: a reader may stop early while another one reads
      for (const row of database.prepare(read).iterate(taskId, since)) yield row as StoredOutput
    },
  }
}
