import type {ControlPlaneClient} from '../client/control-plane.ts'
import {isTransient, isUnauthorized, RefusedError} from '../client/http.ts'
import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import type {Emit} from '../events/bus.ts'
import type {SessionStorage} from '../opencode/storage/session-storage.ts'
import type {Page, SessionPage} from './changes.ts'
import type {ScopedDirectory} from './codebase-directories.ts'
import {countOf, isInLedger} from './ledger.ts'
import type {SessionReader} from './session-reader.ts'
import type {SyncState} from './sync-state.ts'

export type SessionUploaderOptions = {
  client: ControlPlaneClient
  clock: Clock
  emit: Emit
  reader: SessionReader
  state: SyncState
  workerId: string
  /** Whether the server takes what changed, rather than all of it. */
  isDelta: () => boolean
  /** The newest sessions that are synced with messages, and their newest messages; 0: no messages. */
  most: {sessions: number; messages: number}
  /** Something was read: from the storage itself, or by OpenCode's commands, and then why. */
  onRead: (byCommands: string | undefined) => void
}

/** What a sync of one codebase came to. */
export type Told = {
  codebase_id: string
  directory: string
  sessions: number
  changed: number
  removed: number
  messages: number
}

type Kind = 'sessions' | 'messages'
type At = {home: ScopedDirectory; storage: SessionStorage; signal: AbortSignal}

const absentMs = 60 * 60_000
/** A first sync is long: the server has others to answer between its pages. */
const pauseShare = 3
const longestPauseMs = 1000

/** Tells a server what has changed in sessions and messages since it was told last. All of it can be repeated. */
export class SessionUploader {
  readonly #parts: SessionUploaderOptions
  readonly #absentUntil = new Map<Kind, number>()
  #turn: Promise<unknown> = Promise.resolve()

  constructor(parts: SessionUploaderOptions) {
    this.#parts = parts
  }

  /** A codebase's list, and then the messages of its newest sessions. Rejects as client and reader do. */
  async home(home: ScopedDirectory, storage: SessionStorage, signal: AbortSignal): Promise<Told> {
    const {state, most} = this.#parts
    const at = {home, storage, signal}
    const told = {codebase_id: home.codebaseId, directory: home.directory, changed: 0, removed: 0, messages: 0}
    const {total, newest, ...counts} = await this.#sessions(at)
    Object.assign(told, counts)
    for (const id of newest) told.messages += await this.#messages(at, id)
    if (!this.#isAbsent('sessions')) state.saw(home.codebaseId, stateOf(at, most))
    return {...told, sessions: total}
  }

  /** What a sync would come to, where nothing can have changed since `home` went through it. */
  settled(home: ScopedDirectory, storage: SessionStorage): Told | undefined {
    const {state, most} = this.#parts
    const {codebaseId, directory} = home
    const seen = stateOf({home, storage}, most)
    const {seen: before, sessions} = state.of(codebaseId)
    if (seen === '' || before !== seen) return undefined
    return {codebase_id: codebaseId, directory, sessions: countOf(sessions), changed: 0, removed: 0, messages: 0}
  }

  /** One session and its messages; the session first, since servers lose messages of one that they do not know. */
  async session(
    {id, isOver}: {id: string; isOver: boolean},
    home: ScopedDirectory,
    storage: SessionStorage,
    signal: AbortSignal,
  ): Promise<void> {
    const at = {home, storage, signal}
    const isKnown = () => isInLedger(this.#parts.state.of(home.codebaseId).sessions, id)
    if (this.#parts.isDelta()) await this.#sessions(at, id)
    // The whole list would be sent each second: only a session that is new, or has come to rest, is worth it.
    else if (isOver || !isKnown()) await this.#sessions(at)
    if (isKnown()) await this.#messages(at, id)
  }

  async #sessions(at: At, only?: string): Promise<Pick<SessionPage, 'total' | 'changed' | 'removed' | 'newest'>> {
    const {reader, state, client, workerId, isDelta, most} = this.#parts
    const {codebaseId, scope} = at.home
    let total = 0
    let newest: string[] = []
    const counts = await this.#pages('sessions', at, async () => {
      const ledger = state.of(codebaseId).sessions
      const question = {scope, only, workerId, ledger, isDelta: isDelta(), newest: most.sessions}
      const page = await reader.ask('sessions', at.storage, question, at.signal)
      ;({total, newest} = page)
      return {
        page,
        send: (body) => client.syncSessions(codebaseId, body, at.signal),
        keep: () => state.toldSessions(codebaseId, page.ledger),
      }
    })
    return {total, newest: this.#isAbsent('sessions') ? [] : newest, ...counts}
  }

  async #messages(at: At, sessionId: string): Promise<number> {
    const {reader, state, client, workerId, isDelta, most} = this.#parts
    const {codebaseId} = at.home
    if (most.sessions === 0 || most.messages === 0) return 0
    const {changed} = await this.#pages('messages', at, async () => {
      const ledger = state.of(codebaseId).messages.get(sessionId) ?? ''
      const question = {sessionId, workerId, ledger, isDelta: isDelta(), most: most.messages}
      const page = await reader.ask('messages', at.storage, question, at.signal)
      return {
        page,
        send: (body) => client.syncMessages(codebaseId, sessionId, body, at.signal),
        keep: () => state.toldMessages(codebaseId, sessionId, page.ledger, most.sessions),
      }
    })
    return changed
  }

  /** Asks for a page, sends it, keeps what the server knows now, until the last one; each in turn with those of others. */
  async #pages(
    kind: Kind,
    {signal}: At,
    next: () => Promise<{
      page: Page & {warning?: string | undefined}
      send: (body: Buffer) => Promise<void>
      keep: () => void
    }>,
  ): Promise<{changed: number; removed: number}> {
    const {clock, onRead} = this.#parts
    const counts = {changed: 0, removed: 0}
    while (!this.#isAbsent(kind)) {
      const begun = clock.monotonic()
      const page = await this.#inTurn(async () => {
        signal.throwIfAborted()
        const {page, send, keep} = await next()
        onRead(page.warning)
        if (page.body && !(await this.#send(kind, send, page.body))) return undefined
        keep()
        return page
      })
      counts.changed += page?.changed ?? 0
      counts.removed += page?.removed ?? 0
      if (!page || page.isLast) break
      await clock.sleep(Math.min(longestPauseMs, pauseShare * (clock.monotonic() - begun)), signal)
    }

    return counts
  }

  /** False: the server has no such route. What it will never take counts as told, so that the rest gets through. */
  async #send(
    kind: Kind,
    send: (body: Buffer) => Promise<void>,
    {buffer, byteOffset, byteLength}: Uint8Array<ArrayBuffer>,
  ): Promise<boolean> {
    const {clock, emit} = this.#parts
    try {
      await send(Buffer.from(buffer, byteOffset, byteLength))
      return true
    } catch (error) {
      if (isMissingRoute(error)) {
        this.#absentUntil.set(kind, clock.monotonic() + absentMs)
        emit({type: 'notice', level: 'info', text: `The server takes no ${kind}; not asked again for an hour.`})
        return false
      }

      if (isTransient(error) || isUnauthorized(error) || isStranger(error)) throw error
      emit({type: 'notice', level: 'warn', text: `${messageOf(error)} It is left out.`})
      return true
    }
  }

  #isAbsent(kind: Kind): boolean {
    return (this.#absentUntil.get(kind) ?? -Infinity) > this.#parts.clock.monotonic()
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(step)
    this.#turn = mine.catch(() => {})
    return mine
  }
}

/** A tree of files does not show whether something in it has changed. */
const stateOf = ({home, storage}: Pick<At, 'home' | 'storage'>, most: SessionUploaderOptions['most']) =>
  storage.kind === 'tree' ? '' : JSON.stringify([storage.path, storage.stamp, home.scope, most.sessions, most.messages])

const isMissingRoute = (error: unknown) =>
  error instanceof RefusedError && (error.status === 405 || (error.status === 404 && error.detail === 'Not Found'))

/** The server does not know the codebase, or not as ours. */
export const isStranger = (error: unknown): boolean =>
  error instanceof RefusedError && (error.status === 403 || error.status === 404) && !isMissingRoute(error)
