import {DatabaseSync} from 'node:sqlite'

/** Copies the ended task of a database, with its output, until there are `count`. Nothing else may have it open. */
export function copyTasks(file: string, count: number): void {
  const database = new DatabaseSync(file)
  const columnsOf = (table: string, changed: Record<string, string>, omitted: string) => {
    const all = database.prepare(`PRAGMA table_info(${table})`).all() as {name: string}[]
    const names = all.map(({name}) => name).filter((name) => name !== omitted)
    const values = names.map((name) => changed[name] ?? `source."${name}"`)
    return [names.map((name) => `"${name}"`).join(), values.join()]
  }
  const copy = (table: string, changed: Record<string, string>, omitted: string) => {
    const [names, values] = columnsOf(table, changed, omitted)
    database.exec(`WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count})
      INSERT INTO ${table} (${names}) SELECT ${values} FROM (SELECT * FROM ${table} LIMIT 1) source, numbers`)
  }
  database.exec('BEGIN')
  copy('tasks', {id: "'stored-' || numbers.n"}, 'n')
  copy('outputs', {task_id: "'stored-' || numbers.n"}, 'id')
  database.exec('COMMIT')
  database.close()
}
