import {isUnauthorized, RefusedError, UnreachableError} from '../client/http.ts'
import type {Config} from '../config/settings.ts'
import {messageOf} from '../core/errors.ts'
import {loop} from '../core/loop.ts'
import type {EventBus} from '../events/bus.ts'
import {isAgentId, type AgentSession} from '../opencode/agent-session.ts'
import type {CommandOptions} from '../opencode/session-commands.ts'
import {findStorage, StorageProblem, type SessionStorage, type StorageOptions} from '../opencode/session-storage.ts'
import {followSessions, type FollowedSession, type RunningTask} from './follow-sessions.ts'
import {homeOf, scoped, type Home, type ScopedHome} from './homes.ts'
import {SessionReader} from './session-reader.ts'
import {SyncState} from './sync-state.ts'
import {isStranger, Teller, type Told, type TellerParts} from './teller.ts'

export type SyncOptions = Pick<TellerParts, 'client' | 'clock' | 'workerId' | 'isDelta' | 'most'> & {
  bus: EventBus
  storage: StorageOptions
  /** OpenCode's own commands, for a storage that is not known here. */
  commands?: CommandOptions | undefined
  /** Where it is kept what the server was told. */
  file: string
  /** Blanked out of texts. */
  secrets: readonly string[]
  patterns: readonly string[]
  homes: () => readonly Home[]
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
/** A storage that cannot be read now is worth a warning once that has gone on for so long. */
const patienceMs = 5 * 60_000
const goodbyeMs = 5000

/**
 * Keeps the server's picture of OpenCode's sessions up to date: of all codebases each minute, of a task that runs at
 * once and each second. What has not changed is neither read nor sent.
 */
export class SessionSync implements AsyncDisposable {
  readonly #options: SyncOptions
  readonly #reader: SessionReader
  readonly #state: SyncState
  readonly #teller: Teller
  #storagePath = ''
  #problem = ''
  #busySince: number | undefined
  #isByCommands = false
  #isFailing = false
  #whole: Promise<unknown> = Promise.resolve()

  constructor(options: SyncOptions) {
    const {secrets, patterns, commands, file, client, bus} = options
    this.#options = options
    this.#reader = new SessionReader({secrets, patterns, commands})
    this.#state = new SyncState(file, {server: client.url, patterns})
    this.#teller = new Teller({
      ...options,
      emit: bus.emit,
      reader: this.#reader,
      state: this.#state,
      onCommands: (reason) => this.#byCommands(reason),
    })
  }

  get #pauseMs(): number {
    return this.#isByCommands ? everyByCommandsMs : everyMs
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
        this.#isFailing = false
      },
      {
        signal,
        clock: this.#options.clock,
        interval: () => this.#pauseMs,
        delay: () => this.#pauseMs,
        onFailure: ({error}) => this.#failed(error),
      },
    )
  }

  async #all(signal: AbortSignal): Promise<Told[]> {
    const storage = await this.#look()
    const homes = await scoped(this.#options.homes())
    this.#state.keepOnly(homes.map(({codebaseId}) => codebaseId))
    const told: Told[] = []
    let refused: unknown
    for (const home of storage ? homes : []) {
      try {
        told.push(await this.#one(home, storage as SessionStorage, signal))
      } catch (error) {
        // One that the server will not have is no reason to leave out the others.
        if (!(error instanceof RefusedError)) throw error
        refused ??= error
      }
    }

    this.#problem = ''
    this.#busySince = undefined
    await this.#save()
    if (refused !== undefined) throw refused
    return told
  }

  async #one(home: ScopedHome, storage: SessionStorage, signal: AbortSignal): Promise<Told> {
    const settled = this.#teller.settled(home, storage)
    return settled ?? (await this.#asOurs(home, signal, (known) => this.#teller.home(known, storage, signal)))
  }

  /** Does it; where the server does not know the codebase as ours, once more after a registration. */
  async #asOurs<T>(home: ScopedHome, signal: AbortSignal, step: (home: ScopedHome) => Promise<T>): Promise<T> {
    try {
      return await step(home)
    } catch (error) {
      if (!isStranger(error)) throw error
      // Whatever it was told of this codebase may be gone with it.
      this.#state.forget(home.codebaseId)
      await this.#options.register(signal)
      const known = (await scoped(this.#options.homes())).find(({directory}) => directory === home.directory)
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
        if (this.#isByCommands && !session.isOver) return
        await this.#follow(session, until)
      },
      onFailure: (error) => this.#failed(error),
    })
  }

  async #follow(session: FollowedSession, signal: AbortSignal): Promise<void> {
    const storage = await this.#look()
    const home = storage && (await homeOf(this.#options.homes(), session.directory))
    if (!home || !storage) return
    const stamp = storage.kind === 'tree' ? '' : storage.stamp
    if (stamp !== '' && stamp === session.stamp) return
    await this.#asOurs(home, signal, (known) => this.#teller.session(known, session.id, storage, signal))
    session.stamp = stamp
  }

  // ------------------------------------------------------------------------------------------------ saying

  async #look(): Promise<SessionStorage | undefined> {
    const storage = await findStorage(this.#options.storage)
    if (storage && storage.path !== this.#storagePath)
      this.#notice('info', `Using OpenCode storage at: ${storage.path}`)
    this.#storagePath = storage?.path ?? ''
    return storage
  }

  #byCommands(reason: string | undefined): void {
    if (reason !== undefined && !this.#isByCommands)
      this.#notice('warn', `${reason} OpenCode itself is asked, every few minutes.`)
    this.#isByCommands = reason !== undefined
  }

  /** Each thing once, until it has been well again. */
  #failed(error: unknown): void {
    if (error instanceof StorageProblem) return this.#complain(error)
    // That nothing answers is said of the link already.
    const isSilence = error instanceof UnreachableError && error.code === 'SERVER_UNREACHABLE'
    const level = this.#isFailing || isSilence || isUnauthorized(error) ? 'debug' : 'warn'
    this.#notice(level, `Sessions are not synced: ${messageOf(error)}`)
    this.#isFailing = true
  }

  #complain(problem: StorageProblem): void {
    const text = [problem.message, ...problem.suggestions].join(' ')
    const now = this.#options.clock.monotonic()
    this.#busySince = problem.kind === 'busy' ? (this.#busySince ?? now) : undefined
    if (this.#busySince !== undefined && now - this.#busySince < patienceMs) return
    if (text !== this.#problem) this.#notice('warn', text)
    this.#problem = text
    this.#isByCommands ||= problem.kind === 'unknown'
  }

  async #save(): Promise<void> {
    try {
      await this.#state.save()
    } catch (error) {
      this.#notice(
        'warn',
        `What was synced cannot be written down, and is sent again after a restart: ${messageOf(error)}`,
      )
    }
  }

  #notice(level: 'debug' | 'info' | 'warn', text: string): void {
    this.#options.bus.emit({type: 'notice', level, text})
  }
}
