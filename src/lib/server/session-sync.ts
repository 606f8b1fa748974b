import {isoTime} from '../core/clock.ts'
import {limits} from '../protocol/limits.ts'
import type {MessageInput, SessionInput} from '../protocol/session-schemas.ts'
import type {Parts} from './parts.ts'
import {homeFor} from './session-homes.ts'
import type {NewMessage, NewSession} from './store.ts'

/** A longer one is left out: it says what changed in files, which the session itself tells, too. */
const maxSummaryChars = 64 * 1024
const maxPathChars = 4096
const untitled = 'Untitled'

type SessionSync = {worker_id: string; sessions: SessionInput[]; partial: boolean; deleted: string[]}

/** Takes a worker's list of a codebase's sessions, or what changed in it. */
export function syncSessions(parts: Parts, codebaseId: string, sync: SessionSync): void {
  const {sessions: store} = parts.store
  const home = homeFor(parts, codebaseId, sync.worker_id)
  const now = isoTime(parts.clock.now())
  const sessions = newest(sync.sessions.map((session) => toStored(home, sync.worker_id, session)))
  for (const session of sessions) store.put(session, now)
  if (sync.partial) store.remove(home, sync.deleted)
  else store.keepOnly(home, idsOf(sessions))
  settle(parts, home, now)
}

type MessageSync = {worker_id: string; messages: MessageInput[]; partial: boolean}

/** Takes the messages of a session, or those that are new or have changed; it need not have been listed before. */
export function syncMessages(parts: Parts, codebaseId: string, sessionId: string, sync: MessageSync): void {
  const {sessions: store} = parts.store
  const home = homeFor(parts, codebaseId, sync.worker_id)
  const now = isoTime(parts.clock.now())
  if (!store.get([home], sessionId)) store.put(unlisted(home, sessionId, sync), now)
  const messages = sync.messages.slice(-limits.messages)
  for (const message of messages) store.putMessage(toStoredMessage(home, sessionId, message), now)
  if (!sync.partial) store.keepOnlyMessages(home, sessionId, idsOf(messages))
  store.trimMessages(home, sessionId, limits.messages)
  settle(parts, home, now)
}

const idsOf = (items: readonly {id: string}[]) => items.map(({id}) => id)

/** No more than are kept. */
function newest(sessions: NewSession[]): NewSession[] {
  if (sessions.length <= limits.sessions) return sessions
  return sessions.toSorted((a, b) => ((a.updated_at ?? '') < (b.updated_at ?? '') ? 1 : -1)).slice(0, limits.sessions)
}

function settle({store}: Parts, home: string, now: string): void {
  store.sessions.trim(home, {sessions: limits.sessions, messageBytes: limits.codebaseMessages})
  store.sessions.synced(home, now)
}

function toStored(home: string, workerId: string, session: SessionInput): NewSession {
  const summary = session.summary === null ? null : JSON.stringify(session.summary)
  const created = session.created ?? session.created_at
  const {messageCount} = session
  return {
    home,
    id: session.id,
    worker_id: workerId,
    title: session.title.slice(0, limits.title) || untitled,
    directory: session.directory?.slice(0, maxPathChars) ?? null,
    project_id: session.project_id?.slice(0, maxPathChars) ?? null,
    version: session.version?.slice(0, maxPathChars) ?? null,
    summary: summary !== null && summary.length <= maxSummaryChars ? summary : null,
    created_at: created,
    updated_at: session.updated ?? session.updated_at ?? created,
    message_count: Number.isSafeInteger(messageCount) ? messageCount : null,
  }
}

/** The existing worker sends the messages of a new session up to a minute before the list that has it. */
function unlisted(home: string, sessionId: string, {worker_id, messages}: MessageSync): NewSession {
  const times = messages.flatMap(({time}) => time?.created ?? [])
  return {
    ...toStored(home, worker_id, {...noSession, id: sessionId, messageCount: messages.length}),
    created_at: times[0] ?? null,
    updated_at: times.at(-1) ?? null,
  }
}

const noSession = {
  title: '',
  created: null,
  updated: null,
  created_at: null,
  updated_at: null,
  directory: null,
  project_id: null,
  version: null,
  summary: null,
}

function toStoredMessage(home: string, sessionId: string, message: MessageInput): NewMessage {
  const at = message.time?.created ?? null
  const whole = {...message, sessionID: sessionId, model: modelOf(message)}
  const data = JSON.stringify(whole)
  if (Buffer.byteLength(data) <= limits.message) return {home, session_id: sessionId, id: message.id, at, data}
  const {role, model} = whole
  const short = {id: message.id, sessionID: sessionId, role, time: {created: at}, model, parts: [], truncated: true}
  return {home, session_id: sessionId, id: message.id, at, data: JSON.stringify(short)}
}

/** `provider/model`: a user's message has it as an object, an assistant's at the top. */
function modelOf(message: MessageInput): string | null {
  if (typeof message.model === 'string') return message.model
  const {providerID, modelID} = (message.model ?? message) as Record<string, unknown>
  return typeof providerID === 'string' && typeof modelID === 'string' ? `${providerID}/${modelID}` : null
}
