import type {Database} from '../../core/sqlite.ts'
import {sqliteAuditViews} from './sqlite-audit.ts'
import {sqliteInputViews} from './sqlite-inputs.ts'
import {readModels} from './sqlite-registry.ts'
import {sqliteSessionViews} from './sqlite-sessions.ts'
import {sqliteTaskViews} from './sqlite-tasks.ts'
import type {StoredOutput, Views} from './views.ts'

/** What routes read of a database. */
export function sqliteViews(database: Database): Views {
  const used = database.prepare(`SELECT (page_count - freelist_count) * page_size AS bytes
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size`)
  const free = database.prepare(
    'SELECT freelist_count * page_size AS bytes FROM pragma_freelist_count, pragma_page_size',
  )
  const probe = database.prepare('SELECT 1 FROM workers LIMIT 1')
  return {
    tasks: sqliteTaskViews(database),
    output: {
      read: (taskId, since) => readOutput(database, taskId, since),
      tailStart: (taskId, chars) => tailStart(database, taskId, chars),
    },
    inputs: sqliteInputViews(database),
    sessions: sqliteSessionViews(database),
    audit: sqliteAuditViews(database),
    models: (workerId) => readModels(database, workerId),
    probe: () => void probe.get(),
    size: () => Number(used.get()?.['bytes']),
    reusable: () => Number(free.get()?.['bytes']),
  }
}

/** Pieces may be short. So many are looked at. */
const maxTailPieces = 10_000

function tailStart(database: Database, taskId: string, chars: number): number {
  const sizes = database.prepare('SELECT seq, length(data) AS chars FROM outputs WHERE task_id = ? ORDER BY seq DESC')
  let left = chars
  let first = 0
  let pieces = 0
  for (const row of sizes.iterate(taskId)) {
    first = Number(row['seq'])
    left -= Number(row['chars'])
    if (left <= 0 || (pieces += 1) >= maxTailPieces) break
  }
  return first
}

function* readOutput(database: Database, taskId: string, since: number): Generator<StoredOutput> {
  // a statement of its own: a reader may stop early while another one reads
  const read = database.prepare(`SELECT seq, attempt, "offset", worker_id, timestamp, data AS output FROM outputs
    WHERE task_id = ? AND seq >= ? ORDER BY seq`)
  for (const row of read.iterate(taskId, since)) yield row as StoredOutput
}
