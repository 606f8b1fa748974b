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
import {isStranger, SessionUploader, type Told, type SessionUploaderOptions} from './session-uploader.ts'

export type SyncOptions = Pick<SessionUploaderOptions, 'client' | 'clock' | 'workerId' | 'isDelta' | 'most'> & {
  bus: EventBus
  storage: StorageOptions
  /** OpenCode's own commands, for a storage that is not known here. */
  commands?: CommandOptions | undefined
  /** Where it is kept what the server was told. */
  file: string
  /** Blanked out of texts. */
  secrets: readonly string[]
  patterns: readonly string[]
  directories: () => readonly CodebaseDirectory[]
  /** Makes the codebases known to the server anew. */
  register: (signal: AbortSignal) => Promise<void>
  /** Tasks in hand. */
  active: () => readonly RunningTask[]
  /** Between looks at the session of a task that runs. */
  activeMs: number
}

/** What the configuration, and the agent's environment, say of the sync. */
export const sessionSettings = (
  config: Config,
  {env, home, commands}: {env: NodeJS.ProcessEnv; home: string; commands?: CommandOptions | undefined},
): Pick<SyncOptions, 'storage' | 'commands' | 'patterns' | 'most' | 'activeMs'> => ({
  storage: {setting: config.opencode_storage_path, env, home},
  commands,
  patterns: config.redact,
  most: {sessions: config.session_message_sync_max_sessions, messages: config.session_message_sync_max_messages},
  activeMs: config.active_session_sync_interval * 1000,
})

/** In the worker's folder. */
export const sessionFile = 'sessions.json'

const everyMs = 60_000
/** Each look with OpenCode's commands costs seconds of processor time. */
const everyByCommandsMs = 5 * 60_000
const goodbyeMs = 5000

/**
 * Keeps the server's picture of OpenCode's sessions up to date: of all codebases each minute, of a task that runs at
 * once and each second. What has not changed is neither read nor sent.
 */
export class SessionSync implements AsyncDisposable {
  readonly #options: SyncOptions
  readonly #reader: SessionReader
  readonly #state: SyncState
  readonly #teller: SessionUploader
  readonly #notices: SyncNotices
  #whole: Promise<unknown> = Promise.resolve()

  constructor(options: SyncOptions) {
    const {secrets, patterns, commands, file, client, bus, clock} = options
    this.#options = options
    this.#notices = new SyncNotices(bus.emit, clock)
    this.#reader = new SessionReader({secrets, patterns, commands})
    this.#state = new SyncState(file, {server: client.url, patterns})
    this.#teller = new SessionUploader({
      ...options,
      emit: bus.emit,
      reader: this.#reader,
      state: this.#state,
      onRead: (byCommands) => this.#notices.read(byCommands),
    })
  }

  get #pauseMs(): number {
    return this.#notices.isByCommands ? everyByCommandsMs : everyMs
  }

  /** Runs until aborted; what then has just ended is still synced. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#everyMinute(signal), this.#whileTasksRun(signal)])
    await this.#save()
  }

  /** All codebases now; `all`: as if nothing had been sent before. Rejects as client and reader do. */
  async now(signal: AbortSignal, {all = false} = {}): Promise<Told[]> {
    const mine = this.#whole.then(() => {
      if (all) this.#state.keepOnly([])
      return this.#all(signal)
    })
    this.#whole = mine.catch(() => {})
    return mine
  }

  /** What is told from now on is redacted so; with other patterns all of it is told anew. */
  redactWith(redaction: Pick<SyncOptions, 'secrets' | 'patterns'>): void {
    this.#reader.redactWith(redaction)
    this.#state.redactWith(redaction.patterns)
  }

  /** The session of this id, wherever it was begun. Rejects with StorageProblem where that cannot be told. */
  async find(id: string): Promise<AgentSession | undefined> {
    const storage = await findStorage(this.#options.storage)
    if (!storage) throw new StorageProblem('missing', 'OpenCode has no sessions here yet.')
    if (!isAgentId(id)) return undefined
    const {sessions} = await this.#reader.ask('list', storage, {scope: {outside: []}, most: 1, only: id})
    return sessions[0]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#save()
    await this.#reader[Symbol.asyncDispose]()
  }

  async #everyMinute(signal: AbortSignal): Promise<void> {
    await loop(
      async () => {
        await this.now(signal)
        this.#notices.synced()
      },
      {
        signal,
        clock: this.#options.clock,
        interval: () => this.#pauseMs,
        delay: () => this.#pauseMs,
        onFailure: ({error}) => this.#notices.failed(error),
      },
    )
  }

  async #all(signal: AbortSignal): Promise<Told[]> {
    const storage = await this.#look()
    const homes = await withScopes(this.#options.directories())
    if (!storage) this.#notices.readable()
    if (!storage || homes.length === 0) return []
    this.#state.keepOnly(homes.map(({codebaseId}) => codebaseId))
    try {
      return await this.#each(homes, storage, signal)
    } finally {
      await this.#save()
    }
  }

  async #each(homes: readonly ScopedDirectory[], storage: SessionStorage, signal: AbortSignal): Promise<Told[]> {
    const told: Told[] = []
    let refused: unknown
    for (const home of homes) {
      try {
        const settled = this.#teller.settled(home, storage)
        const tell = (known: ScopedDirectory) => this.#teller.home(known, storage, signal)
        told.push(settled ?? (await this.#asOurs(home, signal, tell)))
      } catch (error) {
        // One that the server will not have is no reason to leave out the others.
        if (!(error instanceof RefusedError)) throw error
        refused ??= error
      }
    }

    this.#notices.readable()
    if (refused !== undefined) throw refused
    return told
  }

  /** Does it; where the server does not know the codebase as ours, once more after a registration. */
  async #asOurs<T>(
    home: ScopedDirectory,
    signal: AbortSignal,
    step: (home: ScopedDirectory) => Promise<T>,
  ): Promise<T> {
    try {
      return await step(home)
    } catch (error) {
      if (!isStranger(error)) throw error
      // Whatever it was told of this codebase may be gone with it.
      this.#state.forget(home.codebaseId)
      await this.#options.register(signal)
      const known = (await withScopes(this.#options.directories())).find(({directory}) => directory === home.directory)
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
      goodbyeMs,
      look: async (session, until) => {
        if (this.#notices.isByCommands && !session.isOver) return
        await this.#follow(session, until)
      },
      onFailure: (error) => this.#notices.failed(error),
    })
  }

  async #follow(session: FollowedSession, signal: AbortSignal): Promise<void> {
    const storage = await this.#look()
    const home = storage && (await directoryOf(this.#options.directories(), session.directory))
    if (!home || !storage) return
    const stamp = storage.kind === 'tree' ? '' : storage.stamp
    if (stamp !== '' && stamp === session.stamp && !session.isOver) return
    await this.#asOurs(home, signal, (known) => this.#teller.session(session, known, storage, signal))
    session.stamp = stamp
  }

  // ------------------------------------------------------------------------------------------------- both

  async #look(): Promise<SessionStorage | undefined> {
    const storage = await findStorage(this.#options.storage)
    this.#notices.found(storage)
    return storage
  }

  async #save(): Promise<void> {
    try {
      await this.#state.save()
    } catch (error) {
      this.#notices.unsaved(error)
    }
  }
}
