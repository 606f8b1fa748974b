import {isoTime} from '../../core/clock.ts'
import {limits} from '../../protocol/limits.ts'
import type {MessageInput, SessionInput} from '../../protocol/session-schemas.ts'
import type {Parts} from '../dispatch/parts.ts'
import {sessionOwnerFor} from './session-owners.ts'
import type {NewMessage, NewSession} from '../store/store.ts'

/** A longer summary is omitted. It lists changed files, which the messages show too. */
const maxSummaryChars = 64 * 1024
const maxPathChars = 4096
const untitled = 'Untitled'

type SessionSync = {worker_id: string; sessions: SessionInput[]; partial: boolean; deleted: string[]}

/** Stores a worker's list of a codebase's sessions, or the changes in it. */
export async function syncSessions(parts: Parts, codebaseId: string, sync: SessionSync): Promise<void> {
  const {sessions: store} = parts.store
  const owner = () => sessionOwnerFor(parts, codebaseId, sync.worker_id)
  const now = isoTime(parts.clock.now())
  const sessions = newest(sync.sessions)
  await writeInBatches(parts, sessions, owner, (session, ownerNow) => {
    store.put(toStored(ownerNow, sync.worker_id, session), now)
    return sessionWeight
  })
  parts.commits.write(() => {
    const ownerNow = owner()
    if (sync.partial) store.remove(ownerNow, sync.deleted)
    else store.deleteOthers(ownerNow, idsOf(sessions))
    finishSync(parts, ownerNow, now)
  })
}

type MessageSync = {worker_id: string; messages: MessageInput[]; partial: boolean}

/** Stores the messages of a session, or the changed ones. The session need not be listed yet. */
export async function syncMessages(
  parts: Parts,
  codebaseId: string,
  sessionId: string,
  sync: MessageSync,
): Promise<void> {
  const {sessions: store} = parts.store
  const owner = () => sessionOwnerFor(parts, codebaseId, sync.worker_id)
  const now = isoTime(parts.clock.now())
  const messages = sync.messages.slice(-limits.messages)
  await writeInBatches(parts, messages, owner, (message, ownerNow) => {
    const stored = toStoredMessage(ownerNow, sessionId, message)
    store.putMessage(stored, now)
    return stored.data.length
  })
  parts.commits.write(() => {
    const ownerNow = owner()
    if (!store.get([ownerNow], sessionId)) store.put(unlistedSession(ownerNow, sessionId, sync), now)
    if (!sync.partial) store.deleteOtherMessages(ownerNow, sessionId, idsOf(messages))
    store.trimMessages(ownerNow, sessionId, limits.messages)
    finishSync(parts, ownerNow, now)
  })
}

/** About how many bytes are written per turn of the event loop. */
const batchWeight = 1024 * 1024
const sessionWeight = 4096

/** Writes the items in batches, one per turn of the event loop. The owner may change or disappear between them. */
async function writeInBatches<T>(
  {commits}: Parts,
  items: readonly T[],
  owner: () => string,
  write: (item: T, owner: string) => number,
): Promise<void> {
  let next = 0
  const writeBatch = () =>
    commits.write(() => {
      const ownerNow = owner()
      for (let weight = 0; weight < batchWeight && next < items.length; next++)
        weight += write(items[next] as T, ownerNow)
      return next < items.length
    })
  while (writeBatch()) await new Promise(setImmediate)
}

const idsOf = (items: readonly {id: string}[]) => items.map(({id}) => id)

/** The newest sessions, as many as are stored. */
function newest(sessions: SessionInput[]): SessionInput[] {
  if (sessions.length <= limits.sessions) return sessions
  const timeOf = ({updated, updated_at}: SessionInput) => updated ?? updated_at ?? ''
  return sessions.toSorted((a, b) => (timeOf(a) < timeOf(b) ? 1 : -1)).slice(0, limits.sessions)
}

function finishSync({store}: Parts, owner: string, now: string): void {
  store.sessions.trim(owner, {sessions: limits.sessions, messageBytes: limits.codebaseMessages})
  store.sessions.recordSync(owner, now)
}

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

function toStoredMessage(owner: string, sessionId: string, message: MessageInput): NewMessage {
  const at = message.time?.created ?? null
  const complete = {...message, sessionID: sessionId, model: modelOf(message)}
  const data = JSON.stringify(complete)
  if (Buffer.byteLength(data) <= limits.message) return {owner, session_id: sessionId, id: message.id, at, data}
  const {role, model} = complete
  const truncated = {id: message.id, sessionID: sessionId, role, time: {created: at}, model, parts: [], truncated: true}
  return {owner, session_id: sessionId, id: message.id, at, data: JSON.stringify(truncated)}
}

/** `provider/model`. A user's message has it as an object, an assistant's message in two fields of its own. */
function modelOf(message: MessageInput): string | null {
  if (typeof message.model === 'string') return message.model
  const {providerID, modelID} = (message.model ?? message) as Record<string, unknown>
  return typeof providerID === 'string' && typeof modelID === 'string' ? `${providerID}/${modelID}` : null
}
