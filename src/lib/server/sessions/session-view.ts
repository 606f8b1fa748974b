import * as v from 'valibot'
import {parseJson} from '../../protocol/parse.ts'
import type {Message} from '../../protocol/session-schemas.ts'
import {notFound} from '../http/http-error.ts'
import {fillPage, readCursor, readLimit, toCursor} from '../http/paging.ts'
import type {Plane} from '../plane/plane.ts'
import {codebaseOfOwner, sessionOwnersOf} from '../rules/registry/session-owners.ts'
import type {StoredSession} from '../state/session-changes.ts'
import type {StoredMessage} from '../store/views.ts'

const defaultLimit = 100

/** `only`: the one worker whose sessions the reader may see. Undefined: all. */
export type Reader = {codebaseId: string; only: string | undefined}
export type PageQuery = {limit?: string | undefined; cursor?: string | undefined; offset?: number}

/** A session under the names of the existing server's lists and of its database. */
export function wireSession({owner, summary, message_count, ...session}: StoredSession) {
  return {
    ...session,
    codebase_id: codebaseOfOwner(owner),
    summary: summary === null ? null : parseJson(summary),
    created: session.created_at,
    updated: session.updated_at,
    messageCount: message_count,
  }
}

const sessionPlace = v.pipe(
  v.tuple([v.string(), v.string(), v.string()]),
  v.transform(([updated_at, id, owner]) => ({updated_at, id, owner})),
)
const messagePlace = v.pipe(
  v.tuple([v.string(), v.number()]),
  v.transform(([at, n]) => ({at, n})),
)

/** A page of a codebase's sessions, newest first, and the cursor of the next page. */
export function listSessions(plane: Plane, {codebaseId, only}: Reader, {limit, cursor}: PageQuery) {
  const owners = sessionOwnersOf(plane.state, codebaseId, only)
  const {page, next} = pageOfSessions(plane, owners, {limit, cursor})
  return {next, sessions: page, synced_at: plane.views.sessions.lastSyncAt(owners)}
}

/** A page of the sessions of these owners, or of all. */
export function pageOfSessions(
  {views}: Plane,
  owners: readonly string[] | 'all',
  {limit, cursor, offset = 0}: PageQuery,
) {
  const found = views.sessions.list(owners, {after: readCursor(cursor, sessionPlace), offset})
  const {shown, last, hasMore} = fillPage(found, readLimit(limit, defaultLimit), wireSession)
  return {page: shown, next: last && hasMore ? toCursor([last.updated_at, last.id, last.owner]) : undefined}
}

/** One session. Throws 404 if there is none. */
export function requireSession({state, views}: Plane, {codebaseId, only}: Reader, sessionId: string): StoredSession {
  const session = views.sessions.get(sessionOwnersOf(state, codebaseId, only), sessionId)
  if (!session) throw notFound('Session not found')
  return session
}

/**
 * The newest `limit` messages of a session, oldest of them first. The cursor leads to older ones. (The existing server
 * returns the oldest.) An unknown session has none.
 */
export function listMessages(
  {state, views}: Plane,
  {codebaseId, only}: Reader,
  sessionId: string,
  {limit, cursor}: PageQuery,
) {
  const {sessions} = views
  const owners = sessionOwnersOf(state, codebaseId, only)
  const owner = sessions.get(owners, sessionId)?.owner
  const found = owner === undefined ? [] : sessions.messages(owner, sessionId, readCursor(cursor, messagePlace))
  const show = ({data}: StoredMessage) => parseJson(data) as Message
  const {shown, last, hasMore} = fillPage(found, readLimit(limit, defaultLimit), show)
  const next = last && hasMore ? toCursor([last.at, last.n]) : undefined
  return {messages: shown.toReversed(), next, synced_at: sessions.lastSyncAt(owners)}
}
