import * as v from 'valibot'
import {parseJson} from '../../protocol/parse.ts'
import type {Message} from '../../protocol/session-schemas.ts'
import {notFound} from '../http/http-error.ts'
import {readCursor, readLimit, toCursor} from '../http/paging.ts'
import type {Parts} from '../dispatch/parts.ts'
import {codebaseOfHome, homesOf} from './session-owners.ts'
import type {StoredMessage, StoredSession} from '../store/store.ts'

const defaultLimit = 100
/** A page ends early when its messages are this long. */
const maxPageChars = 8 * 1024 * 1024

/** `only`: the worker whose sessions may be seen; undefined: all. */
export type Reader = {codebaseId: string; only: string | undefined}
export type PageQuery = {limit?: string | undefined; cursor?: string | undefined; offset?: number}

/** A session under the names of the existing server's lists and of its database. */
export function wireSession({home, summary, message_count, ...session}: StoredSession) {
  return {
    ...session,
    codebase_id: codebaseOfHome(home),
    summary: summary === null ? null : parseJson(summary),
    created: session.created_at,
    updated: session.updated_at,
    messageCount: message_count,
  }
}

const sessionPlace = v.pipe(
  v.tuple([v.string(), v.string(), v.string()]),
  v.transform(([updated_at, id, home]) => ({updated_at, id, home})),
)
const messagePlace = v.pipe(
  v.tuple([v.string(), v.number()]),
  v.transform(([at, n]) => ({at, n})),
)

/** The newest sessions of a codebase first, and where the next page begins. */
export function listSessions(parts: Parts, {codebaseId, only}: Reader, {limit, cursor}: PageQuery) {
  const homes = homesOf(parts, codebaseId, only)
  const {page, next} = pageOfSessions(parts, homes, {limit, cursor})
  return {next, sessions: page.map(wireSession), synced_at: parts.store.sessions.syncedAt(homes)}
}

/** A page of the sessions of these homes, or of all. */
export function pageOfSessions(
  {store}: Parts,
  homes: readonly string[] | 'all',
  {limit, cursor, offset = 0}: PageQuery,
) {
  const after = readCursor(cursor, sessionPlace)
  const most = readLimit(limit, defaultLimit)
  const page: StoredSession[] = []
  for (const session of store.sessions.list(homes, {after, offset})) {
    const last = page.at(-1)
    if (last && page.length >= most) return {page, next: toCursor([last.updated_at, last.id, last.home])}
    page.push(session)
  }

  return {page, next: undefined}
}

/** One session; 404 when there is none. */
export function existingSession(parts: Parts, {codebaseId, only}: Reader, sessionId: string): StoredSession {
  const session = parts.store.sessions.get(homesOf(parts, codebaseId, only), sessionId)
  if (!session) throw notFound('Session not found')
  return session
}

/**
 * The newest `limit` messages of a session, in the order in which they were written; the cursor leads to older ones.
 * (The existing server answers with the oldest.) A session that is not known has none.
 */
export function listMessages(parts: Parts, {codebaseId, only}: Reader, sessionId: string, {limit, cursor}: PageQuery) {
  const {sessions} = parts.store
  const homes = homesOf(parts, codebaseId, only)
  const home = sessions.get(homes, sessionId)?.home
  const before = readCursor(cursor, messagePlace)
  const most = readLimit(limit, defaultLimit)
  const newestFirst: Message[] = []
  let chars = 0
  let last: StoredMessage | undefined
  let next: string | undefined
  for (const message of home === undefined ? [] : sessions.messages(home, sessionId, before)) {
    if (last && (newestFirst.length >= most || chars > maxPageChars)) {
      next = toCursor([last.at, last.n])
      break
    }

    newestFirst.push(parseJson(message.data) as Message)
    chars += message.data.length
    last = message
  }

  return {messages: newestFirst.toReversed(), next, synced_at: sessions.syncedAt(homes)}
}
