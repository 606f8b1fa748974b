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
  /** Whether the control plane accepts changes instead of complete lists. */
  isDelta: () => boolean
  /** How many of the newest sessions are synced with messages, and how many messages. 0 means none. */
  limits: {sessions: number; messages: number}
  /** Called after each read. `byCommands`: the reason why OpenCode's commands were used. */
  onRead: (byCommands: string | undefined) => void
}

/** The result of a sync of one codebase. */
export type SyncSummary = {
  codebase_id: string
  directory: string
  sessions: number
  changed: number
  removed: number
  messages: number
}

type Kind = 'sessions' | 'messages'
type Target = {codebase: ScopedDirectory; storage: SessionStorage; signal: AbortSignal}

const missingRouteMs = 60 * 60_000
/** A first sync is long. It pauses between pages for this multiple of the time of a page. */
const pauseFactor = 3
const maxPauseMs = 1000

/** Uploads what has changed in sessions and messages since the last upload. All requests can be repeated. */
export class SessionUploader {
  readonly #options: SessionUploaderOptions
  readonly #missingUntil = new Map<Kind, number>()
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: SessionUploaderOptions) {
    this.#options = options
  }

  /** Uploads a codebase's sessions, then the messages of the newest ones. Rejects as client and reader do. */
  async uploadCodebase(codebase: ScopedDirectory, storage: SessionStorage, signal: AbortSignal): Promise<SyncSummary> {
    const {state, limits} = this.#options
    const target = {codebase, storage, signal}
    const summary = {
      codebase_id: codebase.codebaseId,
      directory: codebase.directory,
      changed: 0,
      removed: 0,
      messages: 0,
    }
    const {total, newest, ...counts} = await this.#sessions(target)
    Object.assign(summary, counts)
    for (const id of newest) summary.messages += await this.#messages(target, id)
    if (!this.#isRouteMissing('sessions')) state.recordSeen(codebase.codebaseId, stateOf(target, limits))
    return {...summary, sessions: total}
  }

  /** The summary of a sync, if nothing can have changed since the last `uploadCodebase`. Otherwise undefined. */
  unchanged(codebase: ScopedDirectory, storage: SessionStorage): SyncSummary | undefined {
    const {state, limits} = this.#options
    const {codebaseId, directory} = codebase
    const seen = stateOf({codebase, storage}, limits)
    const {seen: before, sessions} = state.of(codebaseId)
    if (seen === '' || before !== seen) return undefined
    return {codebase_id: codebaseId, directory, sessions: countOf(sessions), changed: 0, removed: 0, messages: 0}
  }

  /** Uploads a session and its messages. The session is first: servers drop messages of unknown sessions. */
  async uploadSession(
    {id, isOver}: {id: string; isOver: boolean},
    codebase: ScopedDirectory,
    storage: SessionStorage,
    signal: AbortSignal,
  ): Promise<void> {
    const target = {codebase, storage, signal}
    const isKnown = () => isInLedger(this.#options.state.of(codebase.codebaseId).sessions, id)
    if (this.#options.isDelta()) await this.#sessions(target, id)
    // Without deltas the complete list would be sent each second, so only a new or ended session is worth it.
    else if (isOver || !isKnown()) await this.#sessions(target)
    if (isKnown()) await this.#messages(target, id)
  }

  async #sessions(
    target: Target,
    only?: string,
  ): Promise<Pick<SessionPage, 'total' | 'changed' | 'removed' | 'newest'>> {
    const {reader, state, client, workerId, isDelta, limits} = this.#options
    const {codebaseId, scope} = target.codebase
    let total = 0
    let newest: string[] = []
    const counts = await this.#pages('sessions', target, async () => {
      const ledger = state.of(codebaseId).sessions
      const query = {scope, only, workerId, ledger, isDelta: isDelta(), newest: limits.sessions}
      const page = await reader.read('sessions', target.storage, query, target.signal)
      ;({total, newest} = page)
      return {
        page,
        send: (body) => client.syncSessions(codebaseId, body, target.signal),
        recordSent: () => state.recordSessions(codebaseId, page.ledger),
      }
    })
    return {total, newest: this.#isRouteMissing('sessions') ? [] : newest, ...counts}
  }

  async #messages(target: Target, sessionId: string): Promise<number> {
    const {reader, state, client, workerId, isDelta, limits} = this.#options
    const {codebaseId} = target.codebase
    if (limits.sessions === 0 || limits.messages === 0) return 0
    const {changed} = await this.#pages('messages', target, async () => {
      const ledger = state.of(codebaseId).messages.get(sessionId) ?? ''
      const query = {sessionId, workerId, ledger, isDelta: isDelta(), maxMessages: limits.messages}
      const page = await reader.read('messages', target.storage, query, target.signal)
      return {
        page,
        send: (body) => client.syncMessages(codebaseId, sessionId, body, target.signal),
        recordSent: () => state.recordMessages(codebaseId, sessionId, page.ledger, limits.sessions),
      }
    })
    return changed
  }

  /** Reads, sends and records page by page. Pages of concurrent uploads take turns. */
  async #pages(
    kind: Kind,
    {signal}: Target,
    next: () => Promise<{
      page: Page & {warning?: string | undefined}
      send: (body: Buffer) => Promise<void>
      recordSent: () => void
    }>,
  ): Promise<{changed: number; removed: number}> {
    const {clock, onRead} = this.#options
    const counts = {changed: 0, removed: 0}
    while (!this.#isRouteMissing(kind)) {
      const startedAt = clock.monotonic()
      const page = await this.#inTurn(async () => {
        signal.throwIfAborted()
        const {page, send, recordSent} = await next()
        onRead(page.warning)
        if (page.body && !(await this.#send(kind, send, page.body))) return undefined
        recordSent()
        return page
      })
      counts.changed += page?.changed ?? 0
      counts.removed += page?.removed ?? 0
      if (!page || page.isLast) break
      await clock.sleep(Math.min(maxPauseMs, pauseFactor * (clock.monotonic() - startedAt)), signal)
    }

    return counts
  }

  /** Resolves with false if the route does not exist. A body that is finally refused counts as sent. */
  async #send(
    kind: Kind,
    send: (body: Buffer) => Promise<void>,
    {buffer, byteOffset, byteLength}: Uint8Array<ArrayBuffer>,
  ): Promise<boolean> {
    const {clock, emit} = this.#options
    try {
      await send(Buffer.from(buffer, byteOffset, byteLength))
      return true
    } catch (error) {
      if (isMissingRoute(error)) {
        this.#missingUntil.set(kind, clock.monotonic() + missingRouteMs)
        emit({type: 'notice', level: 'info', text: `The server accepts no ${kind}. They are offered again in an hour.`})
        return false
      }

      if (isTransient(error) || isUnauthorized(error) || isUnknownCodebase(error)) throw error
      emit({type: 'notice', level: 'warn', text: `${messageOf(error)} It is skipped.`})
      return true
    }
  }

  #isRouteMissing(kind: Kind): boolean {
    return (this.#missingUntil.get(kind) ?? -Infinity) > this.#options.clock.monotonic()
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(step)
    this.#turn = mine.catch(() => {})
    return mine
  }
}

/** Identifies the state of the storage. A tree of files does not show whether something in it has changed. */
const stateOf = (
  {codebase, storage}: Pick<Target, 'codebase' | 'storage'>,
  limits: SessionUploaderOptions['limits'],
) =>
  storage.kind === 'tree'
    ? ''
    : JSON.stringify([storage.path, storage.stamp, codebase.scope, limits.sessions, limits.messages])

const isMissingRoute = (error: unknown) =>
  error instanceof RefusedError && (error.status === 405 || (error.status === 404 && error.detail === 'Not Found'))

/** Whether the control plane does not know the codebase, or knows it as another worker's. */
export const isUnknownCodebase = (error: unknown): boolean =>
  error instanceof RefusedError && (error.status === 403 || error.status === 404) && !isMissingRoute(error)
