import type {Database} from '../../core/sqlite.ts'
import {statements} from './sqlite-tasks.ts'
import type {SessionStore, StoredMessage, StoredSession} from './store.ts'

type Part<K extends keyof SessionStore> = Pick<SessionStore, K>

/** Sessions and messages in SQLite. What has not changed since the last sync is not written again. */
export const sqliteSessions = (database: Database): SessionStore => ({
  ...writing(database),
  ...removing(database),
  ...reading(database),
})

function writing(database: Database): Part<'put' | 'putMessage' | 'synced'> {
  const sql = statements(database)
  const putSession = sql(`INSERT INTO sessions (home, id, worker_id, title, directory, project_id, version, summary,
      created_at, updated_at, message_count)
    VALUES (:home, :id, :worker_id, :title, :directory, :project_id, :version, :summary, :created_at,
      coalesce(:updated_at, :now), :message_count)
    ON CONFLICT (home, id) DO UPDATE SET worker_id = :worker_id, title = :title, directory = :directory,
      project_id = :project_id, version = :version, summary = :summary,
      created_at = coalesce(:created_at, created_at), updated_at = coalesce(:updated_at, updated_at),
      message_count = :message_count
    WHERE (worker_id, title, directory, project_id, version, summary, message_count)
      IS NOT (:worker_id, :title, :directory, :project_id, :version, :summary, :message_count)
      OR created_at IS NOT coalesce(:created_at, created_at) OR updated_at IS NOT coalesce(:updated_at, updated_at)`)
  const putMessage = sql(`INSERT INTO messages (home, session_id, id, at, data)
    VALUES (:home, :session_id, :id, coalesce(:at, :now), :data)
    ON CONFLICT (home, session_id, id) DO UPDATE SET at = coalesce(:at, at), data = :data
    WHERE data IS NOT :data OR at IS NOT coalesce(:at, at)`)
  return {
    put: (session, now) => {
      putSession.run({...session, now})
    },
    putMessage: (message, now) => {
      putMessage.run({...message, now})
    },
    synced: (home, at) => {
      sql('INSERT OR REPLACE INTO session_syncs (home, synced_at) VALUES (?, ?)').run(home, at)
    },
  }
}

function removing(
  database: Database,
): Part<'keepOnly' | 'keepOnlyMessages' | 'remove' | 'removeHome' | 'trim' | 'trimMessages'> {
  const sql = statements(database)
  const removeMessages = sql('DELETE FROM messages WHERE home = ? AND session_id = ?')
  const removeSession = sql('DELETE FROM sessions WHERE home = ? AND id = ?')
  const remove = (home: string, ids: readonly string[]) => {
    for (const id of ids) {
      removeMessages.run(home, id)
      removeSession.run(home, id)
    }
  }
  const idsOf = (rows: Record<string, unknown>[]) => rows.map(({id}) => String(id))
  const bytesOf = sql('SELECT coalesce(sum(message_bytes), 0) AS bytes FROM sessions WHERE home = ?')
  const restedLongest = sql(`SELECT id, message_bytes FROM sessions WHERE home = ? AND message_bytes > 0
    ORDER BY updated_at, id`)

  return {
    remove,
    keepOnly: (home, ids) => {
      const others = sql('SELECT id FROM sessions WHERE home = ? AND id NOT IN (SELECT value FROM json_each(?))')
      remove(home, idsOf(others.all(home, JSON.stringify(ids))))
    },
    keepOnlyMessages: (home, sessionId, ids) => {
      sql(`DELETE FROM messages WHERE home = ? AND session_id = ? AND id NOT IN (SELECT value FROM json_each(?))`).run(
        home,
        sessionId,
        JSON.stringify(ids),
      )
    },
    removeHome: (home) => {
      for (const table of ['messages', 'sessions', 'session_syncs'])
        sql(`DELETE FROM ${table} WHERE home = ?`).run(home)
    },
    trim: (home, {sessions, messageBytes}) => {
      const tooMany = sql('SELECT id FROM sessions WHERE home = ? ORDER BY updated_at DESC, id DESC LIMIT -1 OFFSET ?')
      remove(home, idsOf(tooMany.all(home, sessions)))
      let excess = Number(bytesOf.get(home)?.['bytes']) - messageBytes
      if (excess <= 0) return
      for (const {id, message_bytes: bytes} of restedLongest.all(home)) {
        if (excess <= 0) break
        removeMessages.run(home, String(id))
        sql('UPDATE sessions SET message_bytes = 0 WHERE home = ? AND id = ?').run(home, String(id))
        excess -= Number(bytes)
      }
    },
    trimMessages: (home, sessionId, messages) => {
      sql(`DELETE FROM messages WHERE n IN (SELECT n FROM messages WHERE home = ? AND session_id = ?
        ORDER BY at DESC, n DESC LIMIT -1 OFFSET ?)`).run(home, sessionId, messages)
      sql(`UPDATE sessions SET message_bytes = (SELECT coalesce(sum(octet_length(data)), 0) FROM messages
        WHERE home = :home AND session_id = :id) WHERE home = :home AND id = :id`).run({home, id: sessionId})
    },
  }
}

function reading(database: Database): Part<'syncedAt' | 'get' | 'list' | 'messages' | 'count'> {
  const sql = statements(database)
  const columns = `home, id, worker_id, title, directory, project_id, version, summary, created_at, updated_at,
    message_count`
  const among = 'home IN (SELECT value FROM json_each(:homes))'
  const order = 'ORDER BY updated_at DESC, id DESC, home DESC'
  return {
    syncedAt: (homes) =>
      (sql(`SELECT max(synced_at) AS at FROM session_syncs WHERE ${among}`).get({homes: JSON.stringify(homes)})?.[
        'at'
      ] as string | null | undefined) ?? null,
    get: (homes, id) =>
      sql(`SELECT ${columns} FROM sessions WHERE ${among} AND id = :id ${order} LIMIT 1`).get({
        homes: JSON.stringify(homes),
        id,
      }) as StoredSession | undefined,
    *list(homes, {after, offset = 0} = {}) {
      const where = homes === 'all' ? ['1'] : [among]
      if (after) where.push('(updated_at, id, home) < (:updated_at, :id, :home)')
      // its own statement each time: a reader may stop early while another one reads
      const rows = database.prepare(`SELECT ${columns} FROM sessions WHERE ${where.join(' AND ')} ${order}
        LIMIT -1 OFFSET :offset`)
      const parameters = {...(homes === 'all' ? {} : {homes: JSON.stringify(homes)}), ...after, offset}
      for (const row of rows.iterate(parameters)) yield row as StoredSession
    },
    *messages(home, sessionId, before) {
      const rows = database.prepare(`SELECT n, at, data FROM messages WHERE home = :home AND session_id = :sessionId
        ${before ? 'AND (at, n) < (:at, :n)' : ''} ORDER BY at DESC, n DESC`)
      for (const row of rows.iterate({home, sessionId, ...before})) yield row as StoredMessage
    },
    count: () => Number(sql('SELECT count(*) AS n FROM sessions').get()?.['n']),
  }
}
