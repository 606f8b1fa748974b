import {isoTime} from '../../core/clock.ts'
import {limits} from '../../protocol/limits.ts'
import type {MessageInput, SessionInput} from '../../protocol/session-schemas.ts'
import type {Parts} from '../dispatch/parts.ts'
import {homeFor} from './session-owners.ts'
import type {NewMessage, NewSession} from '../store/store.ts'

/** A longer one is left out: it says what changed in files, which the session itself tells, too. */
const maxSummaryChars = 64 * 1024
const maxPathChars = 4096
const untitled = 'Untitled'

type SessionSync = {worker_id: string; sessions: SessionInput[]; partial: boolean; deleted: string[]}

/** Takes a worker's list of a codebase's sessions, or what changed in it. */
export async function syncSessions(parts: Parts, codebaseId: string, sync: SessionSync): Promise<void> {
  const {sessions: store} = parts.store
  const home = () => homeFor(parts, codebaseId, sync.worker_id)
  const now = isoTime(parts.clock.now())
  const sessions = newest(sync.sessions)
  await writeInTurns(parts, sessions, home, (session, at) => {
    store.put(toStored(at, sync.worker_id, session), now)
    return sessionWeight
  })
  parts.commits.write(() => {
    const at = home()
    if (sync.partial) store.remove(at, sync.deleted)
    else store.keepOnly(at, idsOf(sessions))
    settle(parts, at, now)
  })
}

type MessageSync = {worker_id: string; messages: MessageInput[]; partial: boolean}

/** Takes the messages of a session, or those that are new or have changed; it need not have been listed before. */
export async function syncMessages(
  parts: Parts,
  codebaseId: string,
  sessionId: string,
  sync: MessageSync,
): Promise<void> {
  const {sessions: store} = parts.store
  const home = () => homeFor(parts, codebaseId, sync.worker_id)
  const now = isoTime(parts.clock.now())
  const messages = sync.messages.slice(-limits.messages)
  await writeInTurns(parts, messages, home, (message, at) => {
    const stored = toStoredMessage(at, sessionId, message)
    store.putMessage(stored, now)
    return stored.data.length
  })
  parts.commits.write(() => {
    const at = home()
    if (!store.get([at], sessionId)) store.put(unlisted(at, sessionId, sync), now)
    if (!sync.partial) store.keepOnlyMessages(at, sessionId, idsOf(messages))
    store.trimMessages(at, sessionId, limits.messages)
    settle(parts, at, now)
  })
}

/** Written in one turn of the event loop; then others have theirs. */
const turnWeight = 1024 * 1024
const sessionWeight = 4096

/** Writes the items, some a turn. `home` is asked anew each turn: the codebase may be another's, or gone. */
async function writeInTurns<T>(
  {commits}: Parts,
  items: readonly T[],
  home: () => string,
  write: (item: T, home: string) => number,
): Promise<void> {
  let next = 0
  const turn = () =>
    commits.write(() => {
      const at = home()
      for (let weight = 0; weight < turnWeight && next < items.length; next++) weight += write(items[next] as T, at)
      return next < items.length
    })
  while (turn()) await new Promise(setImmediate)
}

const idsOf = (items: readonly {id: string}[]) => items.map(({id}) => id)

/** No more than are kept. */
function newest(sessions: SessionInput[]): SessionInput[] {
  if (sessions.length <= limits.sessions) return sessions
  const timeOf = ({updated, updated_at}: SessionInput) => updated ?? updated_at ?? ''
  return sessions.toSorted((a, b) => (timeOf(a) < timeOf(b) ? 1 : -1)).slice(0, limits.sessions)
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
