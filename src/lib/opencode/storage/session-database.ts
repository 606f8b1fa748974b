import {closeSync, openSync, readSync, statSync} from 'node:fs'
import {pathToFileURL} from 'node:url'
import {errorCode, messageOf} from '../../core/errors.ts'
import {importQuietly, type Database} from '../../core/sqlite.ts'
import {limits} from '../../protocol/limits.ts'
import {
  isAgentId,
  isOfWarmUp,
  newestFirst,
  type AgentSession,
  type SessionScope,
  type SessionSource,
} from './agent-session.ts'
import {forbiddenProblem, isForbidden, StorageProblem} from './session-storage.ts'

const lockTimeoutMs = 2000
/** Result codes of SQLite (sqlite.org/rescode.html), the low byte of `errcode`. */
const temporaryCodes = new Set([5, 6, 8, 10, 14]) // busy, locked, readonly (needs recovery), ioerr, cantopen

/** The required columns. Others are read if they exist. */
const needed = {
  session: ['id', 'directory'],
  message: ['id', 'session_id', 'data'],
  part: ['id', 'message_id', 'data'],
} as const
type Table = keyof typeof needed
type Columns = Record<Table, ReadonlySet<string>>

/**
 * Reads the sessions of OpenCode 1.2 and later. Three tables are read by column names. Nothing is written, not even beside
 * the database, and tables of credentials are not read. Rejects with StorageProblem.
 */
export async function sessionDatabase(path: string): Promise<SessionSource> {
  const {DatabaseSync} = await importQuietly()
  return withExplanation(path, () => {
    const address = pathToFileURL(path)
    address.search = openMode(path)
    const database = new DatabaseSync(address, {readOnly: true, timeout: lockTimeoutMs})
    try {
      const columns = columnsOf(database, path)
      if (!columns) {
        database.close()
        return noSessions
      }

      // All reads see the same snapshot.
      database.exec('BEGIN')
      return reading(path, database, columns)
    } catch (error) {
      database.close()
      throw error
    }
  })
}

/**
 * Chooses the mode of opening. A reader of a database with a write-ahead log creates missing log and index files (`-wal`,
 * `-shm`) as its own user, and OpenCode could then no longer write. So without a log only the file is read, and with a
 * log its index is opened read-only.
 */
function openMode(path: string): string {
  const [log, index] = ['wal', 'shm'].map((ending) => statSync(`${path}-${ending}`, {throwIfNoEntry: false}))
  if (index && log) return 'mode=ro&readonly_shm=1'
  if (!log || log.size === 0) return hasLogFormat(path) ? 'mode=ro&immutable=1' : 'mode=ro'
  // After a kill, SQLite creates the index again from the log, as our user. So we must be the owner, or root, for whom
  // SQLite changes the owner.
  if ([0, statSync(path).uid].includes(process.geteuid?.() ?? -1)) return 'mode=ro'
  throw new StorageProblem(
    'busy',
    `OpenCode's database ${path} was not closed. It can be read after OpenCode has run again.`,
  )
}

/** Whether the header says WAL mode (bytes 18 and 19, sqlite.org/fileformat.html). */
function hasLogFormat(path: string): boolean {
  const fd = openSync(path, 'r')
  try {
    const versions = Buffer.alloc(2)
    return readSync(fd, versions, 0, 2, 18) === 2 && versions[0] === 2
  } finally {
    closeSync(fd)
  }
}

/** Undefined for an empty database. */
function columnsOf(database: Database, path: string): Columns | undefined {
  const names = (table: Table) =>
    new Set(
      database
        .prepare(`SELECT name FROM pragma_table_info('${table}')`)
        .all()
        .map(({name}) => String(name)),
    )
  const columns = {session: names('session'), message: names('message'), part: names('part')}
  const missing = Object.entries(needed).flatMap(([table, list]) =>
    list.filter((name) => !columns[table as Table].has(name)).map((name) => `${table}.${name}`),
  )
  if (missing.length === 0) return columns
  if (database.prepare('SELECT 1 FROM sqlite_master LIMIT 1').get() === undefined) return undefined
  throw new StorageProblem(
    'unknown',
    `OpenCode's database ${path} has an unknown format: missing ${missing.slice(0, 3).join(', ')}.`,
    ['Update a2a-worker, or name another storage in opencode_storage_path.'],
  )
}

const noSessions: SessionSource = {
  sessions: () => [],
  messageIds: () => [],
  message: () => undefined,
  [Symbol.dispose]() {},
}

function reading(path: string, database: Database, columns: Columns): SessionSource {
  const {session, message} = columns
  const has = (column: string, as = column) => (session.has(column) ? `s.${column}` : 'NULL') + ` AS ${as}`
  // An integer of more than 53 bits would throw and make all rows unreadable.
  const number = (column: string) =>
    `${session.has(column) ? `CAST(s.${column} AS REAL)` : 'NULL'} AS ${column.replace('time_', '')}`
  const fields = `s.id, s.directory, ${has('title')}, ${has('project_id')}, ${has('version')}, ${number('time_created')},
    ${number('time_updated')}, ${number('summary_additions')}, ${number('summary_deletions')}, ${number('summary_files')}`
  const filter = `typeof(s.id) = 'text' AND typeof(s.directory) = 'text' ${session.has('parent_id') ? 'AND s.parent_id IS NULL' : ''}
    AND (s.directory IN (SELECT value FROM json_each(:directories))) = :inside AND (:only IS NULL OR s.id = :only)`
  const order = message.has('time_created') ? 'time_created, id' : 'id'
  const rows = database.prepare(
    `SELECT ${fields} FROM session s WHERE ${filter} ORDER BY updated DESC LIMIT ${limits.sessions}`,
  )
  const counts = database.prepare(
    `SELECT s.id AS id, count(*) AS n FROM session s JOIN message m ON m.session_id = s.id WHERE ${filter} GROUP BY s.id`,
  )
  const ids = database.prepare(`SELECT id FROM message WHERE session_id = ? ORDER BY ${order}`)
  const info = database.prepare('SELECT CAST(data AS TEXT) AS data FROM message WHERE id = ? AND session_id = ?')
  const parts = database.prepare('SELECT id, CAST(data AS TEXT) AS data FROM part WHERE message_id = ? ORDER BY id')
  const firstMessage = (sessionId: string) => {
    const first = ids.get(sessionId)?.['id']
    const data = first === undefined ? undefined : info.get(first, sessionId)?.['data']
    return typeof data === 'string' ? data : undefined
  }
  const explained = <T>(read: () => T) => withExplanation(path, read)

  return {
    sessions: (scope, only) =>
      explained(() => {
        const wanted = parametersOf(scope, only)
        const messages = new Map(counts.all(wanted).map(({id, n}) => [id, Number(n)]))
        const found = rows.all(wanted).filter(({id}) => isAgentId(id))
        const sessions = found.map((row) => toSession(row, messages.get(row['id'] ?? null) ?? 0))
        return newestFirst(sessions.filter((one) => !isOfWarmUp(one, () => firstMessage(one.id))))
      }),
    messageIds: (sessionId) =>
      explained(() =>
        ids
          .all(sessionId)
          .map(({id}) => id)
          .filter(isAgentId),
      ),
    message: (sessionId, id) =>
      explained(() => {
        const found = info.get(id, sessionId)
        if (typeof found?.['data'] !== 'string') return undefined
        const messageParts = parts.all(id).map((row) => ({id: String(row['id']), data: String(row['data'])}))
        return {id, info: found['data'], parts: messageParts}
      }),
    [Symbol.dispose]: () => database.close(),
  }
}

const parametersOf = (scope: SessionScope, only: string | undefined) => ({
  directories: JSON.stringify('inside' in scope ? scope.inside : scope.outside),
  inside: 'inside' in scope ? 1 : 0,
  only: only ?? null,
})

type Row = Record<string, unknown>

function toSession(row: Row, messages: number): AgentSession {
  const text = (name: string) => (typeof row[name] === 'string' ? row[name] : null)
  const number = (name: string) => (typeof row[name] === 'number' && Number.isFinite(row[name]) ? row[name] : null)
  const [additions, deletions, files] = ['additions', 'deletions', 'files'].map((name) => number(`summary_${name}`))
  const summary = {additions: additions ?? null, deletions: deletions ?? null, files: files ?? null}
  return {
    id: String(row['id']),
    title: text('title'),
    directory: String(row['directory']),
    projectId: text('project_id'),
    version: text('version'),
    created: number('created'),
    updated: number('updated'),
    messages,
    summary: Object.values(summary).every((value) => value === null) ? null : summary,
  }
}

/** Translates failures of SQLite. */
function withExplanation<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw explain(path, error)
  }
}

function explain(path: string, error: unknown): unknown {
  if (error instanceof StorageProblem) return error
  if (isForbidden(error)) return forbiddenProblem(path, error)
  const primary = ((error as {errcode?: number}).errcode ?? 0) & 0xff
  if (temporaryCodes.has(primary) || errorCode(error) === 'ENOENT')
    return new StorageProblem('busy', `OpenCode's database ${path} cannot be read now: ${messageOf(error)}.`, [], error)
  if (primary === 0) return error
  return new StorageProblem(
    'broken',
    `OpenCode's database ${path} cannot be read: ${messageOf(error)}.`,
    ['If OpenCode itself does not start either, move the file away.'],
    error,
  )
}
