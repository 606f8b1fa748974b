import {isAgentId, type SessionScope, type SessionSource} from '../opencode/storage/agent-session.ts'
import {fingerprint, readLedger, writeLedger, type Ledger} from './ledger.ts'
import {wireMessage, wireSession, type Redact} from './wire-session.ts'

/** Maximum size of a body: of a page, and of a body that must contain everything. */
const pageBytes = 256 * 1024
const fullBytes = 8 * 1024 * 1024

/** A body to send, and the ledger that is valid once it was sent. */
export type Page = {
  /** Undefined if nothing has changed. */
  body: Uint8Array<ArrayBuffer> | undefined
  ledger: Ledger
  /** If false, query again with the new ledger. */
  isLast: boolean
  changed: number
  removed: number
}
export type SessionPage = Page & {
  /** Number of sessions, and the ids of the newest. */
  total: number
  newest: string[]
}

type Query = {
  workerId: string
  ledger: Ledger
  /** The control plane accepts changes. Otherwise everything is sent at once. */
  isDelta: boolean
}
export type SessionsQuery = Query & {
  scope: SessionScope
  /** Only this session is read. */
  only?: string | undefined
  /** How many ids to return in `newest`. */
  newest: number
}
export type MessagesQuery = Query & {sessionId: string; maxMessages: number}

/** Returns a page of the changed sessions in scope. */
export function changedSessions(source: SessionSource, query: SessionsQuery, redact: Redact): SessionPage {
  const {scope, only, workerId, isDelta} = query
  const sessions = source.sessions(scope, only)
  const known = readLedger(query.ledger)
  const items = sessions.map((session) => ({
    id: session.id,
    print: fingerprint(JSON.stringify(session)),
    json: () => {
      const wire = wireSession(session)
      return JSON.stringify({...wire, title: redact(wire.title)})
    },
  }))
  const removed = only === undefined ? missing(known, new Set(items.map(({id}) => id))) : []
  const changed = items.filter(({id, print}) => known.get(id) !== print)
  const counts = {total: sessions.length, newest: sessions.slice(0, query.newest).map(({id}) => id)}
  if (changed.length + removed.length === 0) return {...nothing(query.ledger), ...counts}

  const taken = isDelta ? takeUpTo(pageBytes, changed) : takeUpTo(fullBytes, items)
  const sent = new Map(isDelta ? known : [])
  for (const id of removed) sent.delete(id)
  // Sessions that did not fit into a full body are not tried again until they change.
  for (const {id, print} of isDelta ? taken.items : items) sent.set(id, print)
  const head = isDelta ? {worker_id: workerId, partial: true, deleted: removed} : {worker_id: workerId}
  return {
    body: toBody(head, 'sessions', taken.texts),
    ledger: writeLedger(sent),
    isLast: !isDelta || taken.items.length === changed.length,
    changed: isDelta ? taken.items.length : changed.length,
    removed: removed.length,
    ...counts,
  }
}

/** Returns a page of the changed messages among the newest of a session. */
export function changedMessages(source: SessionSource, query: MessagesQuery, redact: Redact): Page {
  const {sessionId, workerId, isDelta, maxMessages} = query
  const ids = source.messageIds(sessionId).filter(isAgentId)
  const window = ids.slice(-maxMessages)
  const known = readLedger(query.ledger)
  const items = window.flatMap((id) => {
    const message = source.message(sessionId, id)
    if (!message) return []
    const print = fingerprint(message.info, ...message.parts.map(({data}) => data))
    return [{id, print, json: () => wireMessage(sessionId, message, redact)}]
  })
  // The wire cannot express that a message was removed, as after an undo. All messages are sent again then.
  const isUndone = missing(known, new Set(ids)).length > 0
  // If only the newest messages are sent, the control plane keeps older ones that it has.
  const isComplete = isUndone || (known.size === 0 && ids.length === window.length)
  const changed = isUndone ? items : items.filter(({id, print}) => known.get(id) !== print)
  if (changed.length === 0 && !isUndone) return nothing(query.ledger)

  // If the list does not fit, the newest messages are sent.
  const taken = isDelta ? takeUpTo(pageBytes, changed) : reversed(takeUpTo(fullBytes, items.toReversed()))
  const sent = new Map(isDelta && !isComplete ? [...known].filter(([id]) => window.includes(id)) : [])
  for (const {id, print} of isDelta ? taken.items : items) sent.set(id, print)
  const head = isDelta && !isComplete ? {worker_id: workerId, partial: true} : {worker_id: workerId}
  return {
    body: taken.texts.length > 0 || isUndone ? toBody(head, 'messages', taken.texts) : undefined,
    ledger: writeLedger(sent),
    isLast: !isDelta || taken.items.length === changed.length,
    changed: isDelta ? taken.items.length : changed.length,
    removed: 0,
  }
}

const nothing = (ledger: Ledger): Page => ({body: undefined, ledger, isLast: true, changed: 0, removed: 0})

const missing = (known: ReadonlyMap<string, string>, ids: ReadonlySet<string>) =>
  [...known.keys()].filter((id) => !ids.has(id))

type Item = {id: string; print: string; json: () => string | undefined}
type Taken = {items: Item[]; texts: string[]}

/** Takes items up to a total size, at least one. Items without text count as sent. */
function takeUpTo(maxChars: number, items: readonly Item[]): Taken {
  const taken: Taken = {items: [], texts: []}
  let size = 0
  for (const item of items) {
    const text = item.json()
    size += text?.length ?? 0
    if (size > maxChars && taken.texts.length > 0) break
    taken.items.push(item)
    if (text !== undefined) taken.texts.push(text)
  }

  return taken
}

const reversed = ({items, texts}: Taken): Taken => ({items: items.toReversed(), texts: texts.toReversed()})

/** Encodes the body. Bytes are transferred between threads without a copy. */
function toBody(head: object, name: string, texts: readonly string[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${JSON.stringify(head).slice(0, -1)},"${name}":[${texts.join(',')}]}`)
}
