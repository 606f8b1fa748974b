import type {Database} from '../../core/sqlite.ts'
import type {LiveState} from '../state/live-state.ts'
import type {Dialogue, StoredInput} from '../state/records.ts'
import type {InputViews, ListedInput} from './views.ts'

const columns = `key, task_id, id, question, "option", text, mode, signature, created_by, created_at, state, reason,
  settled_at, next_task`

/** Restores what tasks ask, and which inputs are on their way. */
export function restoreDialogues(database: Database, state: LiveState): void {
  for (const row of database.prepare('SELECT * FROM dialogues').all()) {
    const list = (name: string) => JSON.parse(String(row[name])) as never
    const dialogue: Dialogue = {
      task_id: String(row['task_id']),
      questions: list('questions'),
      settled: list('settled'),
      undelivered: list('undelivered'),
      inputs: Number(row['inputs']),
    }
    state.restore('dialogue', dialogue.task_id, dialogue)
  }
}

/** Returns the function that reads an input by its key. Inputs may be long: they are not kept in memory. */
export function inputReader(database: Database): (key: string) => StoredInput | undefined {
  const get = database.prepare(`SELECT ${columns} FROM inputs WHERE key = ?`)
  return (key) => get.get(key) as StoredInput | undefined
}

/** Lists of inputs in SQLite. */
export const sqliteInputViews = (database: Database): InputViews => ({
  *list(taskId, {after = 0, state}) {
    // a statement of its own: a reader may stop early while another one reads
    const read = database.prepare(
      `SELECT n, ${columns} FROM inputs WHERE task_id = :task AND n > :after AND state = coalesce(:state, state) ORDER BY n`,
    )
    for (const row of read.iterate({task: taskId, after, state: state ?? null})) yield row as ListedInput
  },
})
