import type {Database} from '../../core/sqlite.ts'
import {statements} from './sqlite-tasks.ts'
import type {NewMessage, NewSession, SessionChange, StoredSession} from '../state/session-changes.ts'
import type {SessionViews, StoredMessage} from './views.ts'

/** Returns the function that writes a change of sessions. The owner is in the column `home`. */
export function sessionWriter(database: Database): (change: SessionChange) => void {
  const {put, putMessage, recordSync, has} = writing(database)
  const {remove, removeOthers, keepMessages, removeOwner, trim, trimMessages} = removing(database)
  return (change) => {
    switch (change.do) {
      case 'put-session':
        if (!change.ifMissing || !has(change.session.owner, change.session.id)) put(change.session, change.now)
        return
      case 'put-message':
        return putMessage(change.message, change.now)
      case 'remove-sessions':
        return (change.which === 'these' ? remove : removeOthers)(change.owner, change.ids)
      case 'keep-messages':
        return keepMessages(change.owner, change.sessionId, change.ids)
      case 'remove-owner':
        return removeOwner(change.owner)
      case 'trim-messages':
        return trimMessages(change.owner, change.sessionId, change.messages)
      case 'end-sync':
        trim(change.owner, change.limits)
        return recordSync(change.owner, change.at)
    }
  }
}

/** Unchanged rows are not written again. */
function writing(database: Database) {
  const sql = statements(database)
  const putSession = sql(`INSERT INTO sessions (home, id, worker_id, title, directory, project_id, version, summary,
      created_at, updated_at, message_count)
    VALUES (:owner, :id, :worker_id, :title, :directory, :project_id, :version, :summary, :created_at,
      coalesce(:updated_at, :now), :message_count)
    ON CONFLICT (home, id) DO UPDATE SET worker_id = :worker_id, title = :title, directory = :directory,
      project_id = :project_id, version = :version, summary = :summary,
      created_at = coalesce(:created_at, created_at), updated_at = coalesce(:updated_at, updated_at),
      message_count = :message_count
    WHERE (worker_id, title, directory, project_id, version, summary, message_count)
      IS NOT (:worker_id, :title, :directory, :project_id, :version, :summary, :message_count)
      OR created_at IS NOT coalesce(:created_at, created_at) OR updated_at IS NOT coalesce(:updated_at, updated_at)`)
  const putMessage = sql(`INSERT INTO messages (home, session_id, id, at, data)
    VALUES (:owner, :session_id, :id, coalesce(:at, :now), :data)
    ON CONFLICT (home, session_id, id) DO UPDATE SET at = coalesce(:at, at), data = :data
    WHERE data IS NOT :data OR at IS NOT coalesce(:at, at)`)
  return {
    has: (owner: string, id: string) =>
      sql('SELECT 1 FROM sessions WHERE home = ? AND id = ?').get(owner, id) !== undefined,
    put: (session: NewSession, now: string) => {
      putSession.run({...session, now})
    },
    putMessage: (message: NewMessage, now: string) => {
      putMessage.run({...message, now})
    },
    recordSync: (owner: string, at: string) => {
      sql('INSERT OR REPLACE INTO session_syncs (home, synced_at) VALUES (?, ?)').run(owner, at)
    },
  }
}

function removing(database: Database) {
  const sql = statements(database)
  const removeMessages = sql('DELETE FROM messages WHERE home = ? AND session_id = ?')
  const removeSession = sql('DELETE FROM sessions WHERE home = ? AND id = ?')
  const remove = (owner: string, ids: readonly string[]) => {
    for (const id of ids) {
      removeMessages.run(owner, id)
      removeSession.run(owner, id)
    }
  }
  const idsOf = (rows: Record<string, unknown>[]) => rows.map(({id}) => String(id))
  const bytesOf = sql('SELECT coalesce(sum(message_bytes), 0) AS bytes FROM sessions WHERE home = ?')
  const oldestFirst = sql(`SELECT id, message_bytes FROM sessions WHERE home = ? AND message_bytes > 0
    ORDER BY updated_at, id`)

  return {
    remove,
    removeOthers: (owner: string, ids: readonly string[]) => {
      const others = sql('SELECT id FROM sessions WHERE home = ? AND id NOT IN (SELECT value FROM json_each(?))')
      remove(owner, idsOf(others.all(owner, JSON.stringify(ids))))
    },
    keepMessages: (owner: string, sessionId: string, ids: readonly string[]) => {
      sql(`DELETE FROM messages WHERE home = ? AND session_id = ? AND id NOT IN (SELECT value FROM json_each(?))`).run(
        owner,
        sessionId,
        JSON.stringify(ids),
      )
    },
    removeOwner: (owner: string) => {
      for (const table of ['messages', 'sessions', 'session_syncs'])
        sql(`DELETE FROM ${table} WHERE home = ?`).run(owner)
    },
    trim: (owner: string, {sessions, messageBytes}: {sessions: number; messageBytes: number}) => {
      const tooMany = sql('SELECT id FROM sessions WHERE home = ? ORDER BY updated_at DESC, id DESC LIMIT -1 OFFSET ?')
      remove(owner, idsOf(tooMany.all(owner, sessions)))
      let excess = Number(bytesOf.get(owner)?.['bytes']) - messageBytes
      if (excess <= 0) return
      for (const {id, message_bytes: bytes} of oldestFirst.all(owner)) {
        if (excess <= 0) break
        removeMessages.run(owner, String(id))
        sql('UPDATE sessions SET message_bytes = 0 WHERE home = ? AND id = ?').run(owner, String(id))
        excess -= Number(bytes)
      }
    },
    trimMessages: (owner: string, sessionId: string, messages: number) => {
      sql(`DELETE FROM messages WHERE n IN (SELECT n FROM messages WHERE home = ? AND session_id = ?
        ORDER BY at DESC, n DESC LIMIT -1 OFFSET ?)`).run(owner, sessionId, messages)
      sql(`UPDATE sessions SET message_bytes = (SELECT coalesce(sum(octet_length(data)), 0) FROM messages
        WHERE home = :home AND session_id = :id) WHERE home = :home AND id = :id`).run({home: owner, id: sessionId})
    },
  }
}

/** Sessions and messages in SQLite. */
export function sqliteSessionViews(database: Database): SessionViews {
  const sql = statements(database)
  const columns = `home AS owner, id, worker_id, title, directory, project_id, version, summary, created_at, updated_at,
    message_count`
  const among = 'home IN (SELECT value FROM json_each(:owners))'
  const order = 'ORDER BY updated_at DESC, id DESC, home DESC'
  return {
    lastSyncAt: (owners) =>
      (sql(`SELECT max(synced_at) AS at FROM session_syncs WHERE ${among}`).get({owners: JSON.stringify(owners)})?.[
        'at'
      ] as string | null | undefined) ?? null,
    get: (owners, id) =>
      sql(`SELECT ${columns} FROM sessions WHERE ${among} AND id = :id ${order} LIMIT 1`).get({
        owners: JSON.stringify(owners),
        id,
      }) as StoredSession | undefined,
    *list(owners, {after, offset = 0} = {}) {
      const where = owners === 'all' ? ['1'] : [among]
      if (after) where.push('(updated_at, id, home) < (:updated_at, :id, :owner)')
      // a statement of its own: a reader may stop early while another one reads
      const rows = database.prepare(`SELECT ${columns} FROM sessions WHERE ${where.join(' AND ')} ${order}
        LIMIT -1 OFFSET :offset`)
      const parameters = {...(owners === 'all' ? {} : {owners: JSON.stringify(owners)}), ...after, offset}
      for (const row of rows.iterate(parameters)) yield row as StoredSession
    },
    *messages(owner, sessionId, before) {
      const rows = database.prepare(`SELECT n, at, data FROM messages WHERE home = :owner AND session_id = :sessionId
        ${before ? 'AND (at, n) < (:at, :n)' : ''} ORDER BY at DESC, n DESC`)
      for (const row of rows.iterate({owner, sessionId, ...before})) yield row as StoredMessage
    },
    count: () => Number(sql('SELECT count(*) AS n FROM sessions').get()?.['n']),
  }
}
