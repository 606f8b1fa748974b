import {RefusedError} from '../client/http.ts'
import type {Config} from '../config/settings.ts'
import {loop} from '../core/loop.ts'
import type {EventBus} from '../events/bus.ts'
import {isAgentId, type AgentSession} from '../opencode/storage/agent-session.ts'
import type {CommandOptions} from '../opencode/storage/session-commands.ts'
import {
  findStorage,
  StorageProblem,
  type SessionStorage,
  type StorageOptions,
} from '../opencode/storage/session-storage.ts'
import {followSessions, type FollowedSession, type RunningTask} from './follow-sessions.ts'
import {directoryOf, withScopes, type CodebaseDirectory, type ScopedDirectory} from './codebase-directories.ts'
import {SessionReader} from './session-reader.ts'
import {SyncNotices} from './sync-notices.ts'
import {SyncState} from './sync-state.ts'
import {isUnknownCodebase, SessionUploader, type SyncSummary, type SessionUploaderOptions} from './session-uploader.ts'

export type SyncOptions = Pick<SessionUploaderOptions, 'client' | 'clock' | 'workerId' | 'isDelta' | 'limits'> & {
  bus: EventBus
  storage: StorageOptions
  /** OpenCode's own commands, for an unknown kind of storage. */
  commands?: CommandOptions | undefined
  /** The file that records what was sent. */
  file: string
  /** Redacted in texts. */
  secrets: readonly string[]
  patterns: readonly string[]
  directories: () => readonly CodebaseDirectory[]
  /** Registers the codebases again. */
  register: (signal: AbortSignal) => Promise<void>
  /** The active tasks. */
  active: () => readonly RunningTask[]
  /** The interval of syncs of an active task's session, in ms. */
  activeMs: number
}

/** The options of the sync that come from the configuration and the agent's environment. */
export const sessionSettings = (
  config: Config,
  {env, home, commands}: {env: NodeJS.ProcessEnv; home: string; commands?: CommandOptions | undefined},
): Pick<SyncOptions, 'storage' | 'commands' | 'patterns' | 'limits' | 'activeMs'> => ({
  storage: {setting: config.opencode_storage_path, env, home},
  commands,
  patterns: config.redact,
  limits: {sessions: config.session_message_sync_max_sessions, messages: config.session_message_sync_max_messages},
  activeMs: config.active_session_sync_interval * 1000,
})

/** Name of the sync file in the worker's folder. */
export const sessionFile = 'sessions.json'

const intervalMs = 60_000
/** A sync with OpenCode's commands costs seconds of CPU time. */
const commandIntervalMs = 5 * 60_000
const lastSyncMs = 5000

/**
 * Syncs OpenCode's sessions to the control plane: those of all codebases each minute, those of active tasks at once and
 * each second. What has not changed is neither read nor sent.
 */
export class SessionSync implements AsyncDisposable {
  readonly #options: SyncOptions
  readonly #reader: SessionReader
  readonly #state: SyncState
  readonly #uploader: SessionUploader
  readonly #notices: SyncNotices
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: SyncOptions) {
    const {secrets, patterns, commands, file, client, bus, clock} = options
    this.#options = options
    this.#notices = new SyncNotices(bus.emit, clock)
    this.#reader = new SessionReader({secrets, patterns, commands})
    this.#state = new SyncState(file, {server: client.url, patterns})
    this.#uploader = new SessionUploader({
      ...options,
      emit: bus.emit,
      reader: this.#reader,
      state: this.#state,
      onRead: (byCommands) => this.#notices.onRead(byCommands),
    })
  }

  get #pauseMs(): number {
    return this.#notices.usesCommands ? commandIntervalMs : intervalMs
  }

  /** Runs until aborted. Sessions of tasks that end at that moment are still synced. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#everyMinute(signal), this.#whileTasksRun(signal)])
    await this.#save()
  }

  /** Syncs all codebases now. With `all` everything is sent again. Rejects as client and reader do. */
  async syncNow(signal: AbortSignal, {all = false} = {}): Promise<SyncSummary[]> {
    const mine = this.#running.then(() => {
      if (all) this.#state.retainOnly([])
      return this.#syncAll(signal)
    })
    this.#running = mine.catch(() => {})
    return mine
  }

  /** Changes the redaction of all later uploads. Other patterns make everything be sent again. */
  redactWith(redaction: Pick<SyncOptions, 'secrets' | 'patterns'>): void {
    this.#reader.redactWith(redaction)
    this.#state.redactWith(redaction.patterns)
  }

  /** Finds a session by id in any directory. Rejects with StorageProblem if the storage cannot be read. */
  async find(id: string): Promise<AgentSession | undefined> {
    const storage = await findStorage(this.#options.storage)
    if (!storage) throw new StorageProblem('missing', 'OpenCode has no sessions here yet.')
    if (!isAgentId(id)) return undefined
    const {sessions} = await this.#reader.read('list', storage, {scope: {outside: []}, maxSessions: 1, only: id})
    return sessions[0]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#save()
    await this.#reader[Symbol.asyncDispose]()
  }

  async #everyMinute(signal: AbortSignal): Promise<void> {
    await loop(
      async () => {
        await this.syncNow(signal)
        this.#notices.onSynced()
      },
      {
        signal,
        clock: this.#options.clock,
        interval: () => this.#pauseMs,
        delay: () => this.#pauseMs,
        onFailure: ({error}) => this.#notices.onFailed(error),
      },
    )
  }

  async #syncAll(signal: AbortSignal): Promise<SyncSummary[]> {
    const storage = await this.#findStorage()
    const codebases = await withScopes(this.#options.directories())
    if (!storage) this.#notices.onReadable()
    if (!storage || codebases.length === 0) return []
    this.#state.retainOnly(codebases.map(({codebaseId}) => codebaseId))
    try {
      return await this.#syncEach(codebases, storage, signal)
    } finally {
      await this.#save()
    }
  }

  async #syncEach(
    codebases: readonly ScopedDirectory[],
    storage: SessionStorage,
    signal: AbortSignal,
  ): Promise<SyncSummary[]> {
    const summaries: SyncSummary[] = []
    let refused: unknown
    for (const codebase of codebases) {
      try {
        const unchanged = this.#uploader.unchanged(codebase, storage)
        const upload = (known: ScopedDirectory) => this.#uploader.uploadCodebase(known, storage, signal)
        summaries.push(unchanged ?? (await this.#withRegistration(codebase, signal, upload)))
      } catch (error) {
        // A codebase that is refused does not keep the others from being synced.
        if (!(error instanceof RefusedError)) throw error
        refused ??= error
      }
    }

    this.#notices.onReadable()
    if (refused !== undefined) throw refused
    return summaries
  }

  /** Runs a step. If the control plane does not know the codebase as ours, registers and repeats the step once. */
  async #withRegistration<T>(
    codebase: ScopedDirectory,
    signal: AbortSignal,
    step: (codebase: ScopedDirectory) => Promise<T>,
  ): Promise<T> {
    try {
      return await step(codebase)
    } catch (error) {
      if (!isUnknownCodebase(error)) throw error
      // What was sent for this codebase may be lost with it.
      this.#state.forget(codebase.codebaseId)
      await this.#options.register(signal)
      const known = (await withScopes(this.#options.directories())).find(
        ({directory}) => directory === codebase.directory,
      )
      if (!known) throw error
      return await step(known)
    }
  }

  // ---------------------------------------------------------------------------------------- tasks that run

  async #whileTasksRun(signal: AbortSignal): Promise<void> {
    const {bus, clock, active, activeMs} = this.#options
    await followSessions({
      signal,
      clock,
      bus,
      active,
      intervalMs: activeMs,
      lastSyncMs,
      syncSession: async (session, until) => {
        if (this.#notices.usesCommands && !session.isOver) return
        await this.#follow(session, until)
      },
      onFailure: (error) => this.#notices.onFailed(error),
    })
  }

  async #follow(session: FollowedSession, signal: AbortSignal): Promise<void> {
    const storage = await this.#findStorage()
    const codebase = storage && (await directoryOf(this.#options.directories(), session.directory))
    if (!codebase || !storage) return
    const stamp = storage.kind === 'tree' ? '' : storage.stamp
    if (stamp !== '' && stamp === session.stamp && !session.isOver) return
    await this.#withRegistration(codebase, signal, (known) =>
      this.#uploader.uploadSession(session, known, storage, signal),
    )
    session.stamp = stamp
  }

  // ------------------------------------------------------------------------------------------------- both

  async #findStorage(): Promise<SessionStorage | undefined> {
    const storage = await findStorage(this.#options.storage)
    this.#notices.onFound(storage)
    return storage
  }

  async #save(): Promise<void> {
    try {
      await this.#state.save()
    } catch (error) {
      this.#notices.onUnsaved(error)
    }
  }
}
