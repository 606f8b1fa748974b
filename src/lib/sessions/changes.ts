import {isAgentId, type SessionScope, type SessionSource} from '../opencode/storage/agent-session.ts'
import {fingerprint, readLedger, writeLedger, type Ledger} from './ledger.ts'
import {wireMessage, wireSession, type Redact} from './wire-session.ts'

/** How much a body holds that is one of several, and one that must be the only one. */
const pageBytes = 256 * 1024
const wholeBytes = 8 * 1024 * 1024

/** A body that is to be sent, and what the server knows once it has it. */
export type Page = {
  /** Undefined: there is nothing to tell. */
  body: Uint8Array<ArrayBuffer> | undefined
  ledger: Ledger
  /** False: ask again, with that ledger. */
  isLast: boolean
  changed: number
  removed: number
}
export type SessionPage = Page & {
  /** Sessions there are, and the ids of the newest. */
  total: number
  newest: string[]
}

type Question = {
  workerId: string
  ledger: Ledger
  /** The server takes what changed; else it wants all of it at once. */
  isDelta: boolean
}
export type SessionsQuestion = Question & {
  scope: SessionScope
  /** None but this one is looked at. */
  only?: string | undefined
  /** How many of `newest`. */
  newest: number
}
export type MessagesQuestion = Question & {sessionId: string; most: number}

/** What is to be told of the sessions in scope: a page of it. */
export function changedSessions(source: SessionSource, question: SessionsQuestion, redact: Redact): SessionPage {
  const {scope, only, workerId, isDelta} = question
  const sessions = source.sessions(scope, only)
  const known = readLedger(question.ledger)
  const items = sessions.map((session) => ({
    id: session.id,
    print: fingerprint(JSON.stringify(session)),
    json: () => {
      const wire = wireSession(session)
      return JSON.stringify({...wire, title: redact(wire.title)})
    },
  }))
  const gone = only === undefined ? missing(known, new Set(items.map(({id}) => id))) : []
  const changed = items.filter(({id, print}) => known.get(id) !== print)
  const about = {total: sessions.length, newest: sessions.slice(0, question.newest).map(({id}) => id)}
  if (changed.length + gone.length === 0) return {...nothing(question.ledger), ...about}

  const taken = isDelta ? upTo(pageBytes, changed) : upTo(wholeBytes, items)
  const told = new Map(isDelta ? known : [])
  for (const id of gone) told.delete(id)
  // What did not fit into the only body is not tried again until it changes.
  for (const {id, print} of isDelta ? taken.items : items) told.set(id, print)
  const head = isDelta ? {worker_id: workerId, partial: true, deleted: gone} : {worker_id: workerId}
  return {
    body: toBody(head, 'sessions', taken.texts),
    ledger: writeLedger(told),
    isLast: !isDelta || taken.items.length === changed.length,
    changed: isDelta ? taken.items.length : changed.length,
    removed: gone.length,
    ...about,
  }
}

/** What is to be told of the newest messages of a session: a page of it. */
export function changedMessages(source: SessionSource, question: MessagesQuestion, redact: Redact): Page {
  const {sessionId, workerId, isDelta, most} = question
  const ids = source.messageIds(sessionId).filter(isAgentId)
  const window = ids.slice(-most)
  const known = readLedger(question.ledger)
  const items = window.flatMap((id) => {
    const message = source.message(sessionId, id)
    if (!message) return []
    const print = fingerprint(message.info, ...message.parts.map(({data}) => data))
    return [{id, print, json: () => wireMessage(sessionId, message, redact)}]
  })
  // A server cannot be told that a message is gone, as after an undo: it gets all of them anew.
  const isUndone = missing(known, new Set(ids)).length > 0
  // What it has of older messages it may keep, where only the newest are told.
  const isAnew = isUndone || (known.size === 0 && ids.length === window.length)
  const changed = isUndone ? items : items.filter(({id, print}) => known.get(id) !== print)
  if (changed.length === 0 && !isUndone) return nothing(question.ledger)

  // Of a list that does not fit, the newest are sent.
  const taken = isDelta ? upTo(pageBytes, changed) : reversed(upTo(wholeBytes, items.toReversed()))
  const told = new Map(isDelta && !isAnew ? [...known].filter(([id]) => window.includes(id)) : [])
  for (const {id, print} of isDelta ? taken.items : items) told.set(id, print)
  const head = isDelta && !isAnew ? {worker_id: workerId, partial: true} : {worker_id: workerId}
  return {
    body: taken.texts.length > 0 || isUndone ? toBody(head, 'messages', taken.texts) : undefined,
    ledger: writeLedger(told),
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

/** The first of them that fit, one at least; what has no text counts as told. */
function upTo(most: number, items: readonly Item[]): Taken {
  const taken: Taken = {items: [], texts: []}
  let size = 0
  for (const item of items) {
    const text = item.json()
    size += text?.length ?? 0
    if (size > most && taken.texts.length > 0) break
    taken.items.push(item)
    if (text !== undefined) taken.texts.push(text)
  }

  return taken
}

const reversed = ({items, texts}: Taken): Taken => ({items: items.toReversed(), texts: texts.toReversed()})

/** As bytes, which are handed over between threads without a copy. */
function toBody(head: object, name: string, texts: readonly string[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${JSON.stringify(head).slice(0, -1)},"${name}":[${texts.join(',')}]}`)
}
