import {closeSync, openSync, readSync, statSync} from 'node:fs'
import {pathToFileURL} from 'node:url'
import {errorCode, messageOf} from '../../core/errors.ts'
import {importQuietly, type Database} from '../../core/sqlite.ts'
import {limits} from '../../protocol/limits.ts'
import {
  isAgentId,
  isOfWarmUp,
  newestFirst,
  type AgentMessage,
  type AgentSession,
  type SessionScope,
  type SessionSource,
} from './agent-session.ts'
import {bothGenerations} from './both-generations.ts'
import {messageOfVersion2, shownTypes} from './message-of-version-2.ts'
import {forbiddenProblem, isForbidden, StorageProblem} from './session-storage.ts'

const lockTimeoutMs = 2000
/** Result codes of SQLite (sqlite.org/rescode.html), the low byte of `errcode`. */
const temporaryCodes = new Set([5, 6, 8, 10, 14]) // busy, locked, readonly (needs recovery), ioerr, cantopen

/** The required columns. Others are read if they exist. Version 2 has tables of its own, and keeps the older ones as they were. */
const needed = {
  1: {session: ['id', 'directory'], message: ['id', 'session_id', 'data'], part: ['id', 'message_id', 'data']},
  2: {session_v2: ['id', 'directory'], session_message: ['id', 'session_id', 'type', 'seq', 'data']},
} as const
type Version = keyof typeof needed

/**
 * Reads the sessions of OpenCode 1.2 and later, and of OpenCode 2. Few tables are read, by column names. Nothing is
 * written, not even beside the database, and tables of credentials are not read. Rejects with StorageProblem.
 */
export async function sessionDatabase(path: string): Promise<SessionSource> {
  const {DatabaseSync} = await importQuietly()
  return withExplanation(path, () => {
    const address = pathToFileURL(path)
    address.search = openMode(path)
    const database = new DatabaseSync(address, {readOnly: true, timeout: lockTimeoutMs})
    try {
      const versions = versionsIn(database, path)
      if (versions.length === 0) {
        database.close()
        return noSessions
      }

      // All reads see the same snapshot.
      database.exec('BEGIN')
      const [first = noSessions, second] = versions.map((version) => reading(path, database, version))
      return second ? bothGenerations(second, first, () => database.close()) : first
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

/** The versions whose tables are there. None for an empty database. */
function versionsIn(database: Database, path: string): Version[] {
  const missingOf = (version: Version) =>
    Object.entries(needed[version]).flatMap(([table, list]) => {
      const known = columnsOf(database, table)
      return list.filter((name: string) => !known.has(name)).map((name: string) => `${table}.${name}`)
    })
  const versions = ([1, 2] as const).filter((version) => missingOf(version).length === 0)
  if (versions.length > 0) return versions
  if (database.prepare('SELECT 1 FROM sqlite_master LIMIT 1').get() === undefined) return []
  throw new StorageProblem(
    'unknown',
    `OpenCode's database ${path} has an unknown format: missing ${missingOf(1).slice(0, 3).join(', ')}.`,
    ['Update a2a-worker, or name another storage in opencode_storage_path.'],
  )
}

const columnsOf = (database: Database, table: string): ReadonlySet<string> =>
  new Set(
    database
      .prepare(`SELECT name FROM pragma_table_info('${table}')`)
      .all()
      .map(({name}) => String(name)),
  )

const noSessions: SessionSource = {
  sessions: () => [],
  messageIds: () => [],
  message: () => undefined,
  [Symbol.dispose]() {},
}

function reading(path: string, database: Database, version: Version): SessionSource {
  const [sessionTable, messageTable] = version === 1 ? ['session', 'message'] : ['session_v2', 'session_message']
  const [session, message] = [columnsOf(database, sessionTable), columnsOf(database, messageTable)]
  const has = (column: string, as = column) => (session.has(column) ? `s.${column}` : 'NULL') + ` AS ${as}`
  // An integer of more than 53 bits would throw and make all rows unreadable.
  const number = (column: string) =>
    `${session.has(column) ? `CAST(s.${column} AS REAL)` : 'NULL'} AS ${column.replace('time_', '')}`
  const fields = `s.id, s.directory, ${has('title')}, ${has('project_id')}, ${has('version')}, ${number('time_created')},
    ${number('time_updated')}, ${number('summary_additions')}, ${number('summary_deletions')}, ${number('summary_files')}`
  const filter = `typeof(s.id) = 'text' AND typeof(s.directory) = 'text' ${session.has('parent_id') ? 'AND s.parent_id IS NULL' : ''}
    AND (s.directory IN (SELECT value FROM json_each(:directories))) = :inside AND (:only IS NULL OR s.id = :only)`
  const isShown = version === 1 ? 'TRUE' : `m.type IN (${shownTypes.map((type) => `'${type}'`).join(', ')})`
  const order = version === 2 ? 'seq' : message.has('time_created') ? 'time_created, id' : 'id'
  const rows = database.prepare(
    `SELECT ${fields} FROM ${sessionTable} s WHERE ${filter} ORDER BY updated DESC LIMIT ${limits.sessions}`,
  )
  const counts = database.prepare(
    `SELECT s.id AS id, count(*) AS n FROM ${sessionTable} s JOIN ${messageTable} m ON m.session_id = s.id
      WHERE ${isShown} AND ${filter} GROUP BY s.id`,
  )
  const ids = database.prepare(`SELECT id FROM ${messageTable} m WHERE session_id = ? AND ${isShown} ORDER BY ${order}`)
  const {readInfo, readMessage} = version === 1 ? messageReader(database) : messageReader2(database)
  const firstMessage = (sessionId: string) => {
    const id = ids.get(sessionId)?.['id']
    return typeof id === 'string' ? readInfo(sessionId, id) : undefined
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
    message: (sessionId, id) => explained(() => readMessage(sessionId, id)),
    [Symbol.dispose]: () => database.close(),
  }
}

type Read<T> = (sessionId: string, id: string) => T | undefined
/** The information of a message alone is read without its parts, which may be large. */
type MessageReader = {readInfo: Read<string>; readMessage: Read<AgentMessage>}

function messageReader(database: Database): MessageReader {
  const info = database.prepare('SELECT CAST(data AS TEXT) AS data FROM message WHERE id = ? AND session_id = ?')
  const parts = database.prepare('SELECT id, CAST(data AS TEXT) AS data FROM part WHERE message_id = ? ORDER BY id')
  const readInfo: Read<string> = (sessionId, id) => {
    const data = info.get(id, sessionId)?.['data']
    return typeof data === 'string' ? data : undefined
  }
  return {
    readInfo,
    readMessage(sessionId, id) {
      const found = readInfo(sessionId, id)
      if (found === undefined) return undefined
      const messageParts = parts.all(id).map((row) => ({id: String(row['id']), data: String(row['data'])}))
      return {id, info: found, parts: messageParts}
    },
  }
}

function messageReader2(database: Database): MessageReader {
  const row = database.prepare(
    'SELECT type, CAST(data AS TEXT) AS data FROM session_message WHERE id = ? AND session_id = ?',
  )
  const readMessage: Read<AgentMessage> = (sessionId, id) => {
    const found = row.get(id, sessionId)
    return found && messageOfVersion2(id, String(found['type']), String(found['data']))
  }
  return {readInfo: (sessionId, id) => readMessage(sessionId, id)?.info, readMessage}
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
