import {limits} from '../../../protocol/limits.ts'
import type {MessageInput, SessionInput} from '../../../protocol/session-schemas.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import type {NewMessage, NewSession} from '../../state/session-changes.ts'
import {recordContact} from '../dispatch/contact.ts'
import {sessionOwnerFor} from './session-owners.ts'

/** A longer summary is omitted. It lists changed files, which the messages show too. */
const maxSummaryChars = 64 * 1024
const maxPathChars = 4096
const untitled = 'Untitled'

type SessionSync = {
  worker_id: string
  codebase_id: string
  sessions: readonly SessionInput[]
}

/** Stores some of a worker's sessions of a codebase. */
export const putSessions: Rule<SessionSync, void> = (draft, {worker_id, codebase_id, sessions}) => {
  recordContact(draft, worker_id)
  const owner = sessionOwnerFor(draft, codebase_id, worker_id)
  const now = draft.timestamp
  for (const session of sessions) draft.write({do: 'put-session', session: toStored(owner, worker_id, session), now})
}

type SessionList = {
  worker_id: string
  codebase_id: string
  /** The ids of all sessions of the list. */
  ids: readonly string[]
  partial: boolean
  deleted: readonly string[]
}

/** Ends a sync of sessions: removes those that the worker has not listed, or has listed as deleted. */
export const endSessionSync: Rule<SessionList, void> = (draft, {worker_id, codebase_id, ids, partial, deleted}) => {
  const owner = sessionOwnerFor(draft, codebase_id, worker_id)
  if (partial) draft.write({do: 'remove-sessions', owner, ids: deleted, which: 'these'})
  else draft.write({do: 'remove-sessions', owner, ids, which: 'others'})
  endSync(draft, owner)
}

type MessageSync = {
  worker_id: string
  codebase_id: string
  session_id: string
  messages: readonly MessageInput[]
}

/** A message as it is stored, before its owner is known. */
export type PreparedMessage = Pick<NewMessage, 'id' | 'at' | 'data'>

/** Stores some messages of a session. */
export const putMessages: Rule<Omit<MessageSync, 'messages'> & {messages: readonly PreparedMessage[]}, void> = (
  draft,
  {worker_id, codebase_id, session_id, messages},
) => {
  recordContact(draft, worker_id)
  const owner = sessionOwnerFor(draft, codebase_id, worker_id)
  const now = draft.timestamp
  for (const message of messages) draft.write({do: 'put-message', message: {owner, session_id, ...message}, now})
}

/** Ends a sync of messages. The session need not be listed yet. `messages`: all of the sync. */
export const endMessageSync: Rule<MessageSync & {partial: boolean}, void> = (draft, {partial, ...sync}) => {
  const {worker_id, codebase_id, session_id: sessionId, messages} = sync
  const owner = sessionOwnerFor(draft, codebase_id, worker_id)
  const session = unlistedSession(owner, sessionId, sync)
  draft.write({do: 'put-session', session, now: draft.timestamp, ifMissing: true})
  if (!partial) draft.write({do: 'keep-messages', owner, sessionId, ids: messages.map(({id}) => id)})
  draft.write({do: 'trim-messages', owner, sessionId, messages: limits.messages})
  endSync(draft, owner)
}

const endSync = (draft: Draft, owner: string) =>
  draft.write({
    do: 'end-sync',
    owner,
    at: draft.timestamp,
    limits: {sessions: limits.sessions, messageBytes: limits.codebaseMessages},
  })

function toStored(owner: string, workerId: string, session: SessionInput): NewSession {
  const summary = session.summary === null ? null : JSON.stringify(session.summary)
  const created = session.created ?? session.created_at
  const {messageCount} = session
  return {
    owner,
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

/** The existing worker sends messages of a new session up to a minute before the list that contains it. */
function unlistedSession(owner: string, sessionId: string, {worker_id, messages}: MessageSync): NewSession {
  const times = messages.flatMap(({time}) => time?.created ?? [])
  return {
    ...toStored(owner, worker_id, {...noSession, id: sessionId, messageCount: messages.length}),
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

/** The JSON of a message. Of one that is too long only its head is stored. */
export function prepareMessage(sessionId: string, message: MessageInput): PreparedMessage {
  const at = message.time?.created ?? null
  const complete = {...message, sessionID: sessionId, model: modelOf(message)}
  const data = JSON.stringify(complete)
  if (Buffer.byteLength(data) <= limits.message) return {id: message.id, at, data}
  const {role, model} = complete
  const truncated = {id: message.id, sessionID: sessionId, role, time: {created: at}, model, parts: [], truncated: true}
  return {id: message.id, at, data: JSON.stringify(truncated)}
}

/** `provider/model`. A user's message has it as an object, an assistant's message in two fields of its own. */
function modelOf(message: MessageInput): string | null {
  if (typeof message.model === 'string') return message.model
  const {providerID, modelID} = (message.model ?? message) as Record<string, unknown>
  return typeof providerID === 'string' && typeof modelID === 'string' ? `${providerID}/${modelID}` : null
}
