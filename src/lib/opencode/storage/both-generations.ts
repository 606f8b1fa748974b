import {newestFirst, type SessionSource} from './agent-session.ts'

/**
 * The sessions of two generations of tables in one database. After an update to OpenCode 2 the older tables keep what was
 * in them, and a session may be in both: then the newer ones count.
 */
export function bothGenerations(newer: SessionSource, older: SessionSource, dispose: () => void): SessionSource {
  const sourceOf = (sessionId: string) => (newer.messageIds(sessionId).length > 0 ? newer : older)
  return {
    sessions(scope, only) {
      const found = newer.sessions(scope, only)
      const known = new Set(found.map(({id}) => id))
      return newestFirst([...found, ...older.sessions(scope, only).filter(({id}) => !known.has(id))])
    },
    messageIds: (sessionId) => sourceOf(sessionId).messageIds(sessionId),
    message: (sessionId, id) => newer.message(sessionId, id) ?? older.message(sessionId, id),
    [Symbol.dispose]: dispose,
  }
}
