import {randomUUID} from 'node:crypto'
import {mkdirSync, mkdtempSync, readdirSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import {configError, errorCode, ExpectedError, messageOf} from '../../core/errors.ts'
import {fullJitter, loop} from '../../core/loop.ts'
import {counted} from '../../core/text/counted.ts'
import {checkDatabase, importQuietly, migrate, openDatabase, type Database} from '../../core/sqlite.ts'
import {all} from '../state/records.ts'
import type {Policy} from '../state/state.ts'
import {migrations} from '../store/migrations.ts'
import {restoredLease} from '../store/restored-lease.ts'
import {heldTasks} from '../store/sqlite-tasks.ts'
import {withoutLogin} from '../../core/without-login.ts'
import {connectRedis, type Connections} from './connection.ts'
import {DecisionLog, start as startOfLog} from './decision-log.ts'
import {Images, pin, restoreLive} from './image.ts'
import {checkOwner, own, type Found, type Owner} from './owner.ts'
import {persistenceOf, type Persistence} from './persistence.ts'
import {RedisClock} from './redis-clock.ts'
import {RedisEngine} from './redis-engine.ts'

export type RedisStoreOptions = {
  url: string
  /** Of all keys. With a hash tag, so that they are on one shard of a cluster. */
  prefix: string
  /** Where this replica keeps its copy of the state. */
  folder: string
  version: string
  log: (line: string, level?: 'info' | 'warn' | 'error') => void
  /** When the log is replaced by an image. Tests have less patience. */
  images?: Partial<ImageLimits>
  /** A database that becomes the state of all, if there is none yet. */
  importFile?: string | undefined
  /** This process must start again. */
  onDiverged: (reason: string) => void
}

/** How long one wait for entries lasts, in ms. */
const waitMs = 2000
/** The log is replaced by an image when it is larger than this, and than the last image. */
type ImageLimits = {entries: number; bytes: number; kept: number; checkMs: number}
const imageLimits: ImageLimits = {entries: 50_000, bytes: 16 * 1024 * 1024, kept: 1000, checkMs: 10_000}
/** Requests wait for a Redis that was lost so shortly ago. After longer, workers may have missed renewing their leases. */
const shortAbsenceMs = 500

/** The state of all replicas in Redis, and the copy that this one has. */
export class RedisStore implements AsyncDisposable {
  readonly persistence: Persistence
  readonly file: string
  readonly database: Database
  readonly clock: RedisClock
  readonly connections: Connections
  /** Called when Redis is back. */
  onBack = () => {}
  readonly #options: RedisStoreOptions
  readonly #limits: ImageLimits
  readonly #owner: Owner
  readonly #found: Found
  readonly #isImported: boolean
  readonly #decisions: DecisionLog
  readonly #images: Images
  readonly #image: Awaited<ReturnType<Images['load']>>
  readonly #stop = new AbortController()
  readonly #background: Promise<void>[] = []
  #engine: RedisEngine | undefined
  /** On the clock of Redis, in ms. */
  #calmUntil = 0
  #leaseMs = 0
  #lostAt: number | undefined

  private constructor(options: RedisStoreOptions, parts: Opened) {
    this.#options = options
    this.#limits = {...imageLimits, ...options.images}
    this.#owner = parts.owner
    this.#found = parts.found
    this.#isImported = parts.isImported
    this.#decisions = parts.decisions
    this.#images = parts.images
    this.#image = parts.image
    this.connections = parts.connections
    this.persistence = parts.persistence
    this.file = parts.file
    this.database = parts.database
    this.clock = new RedisClock((ms) => this.#onJump(ms))
    this.connections.onChange = (isUp, reason) => (isUp ? this.#onUp() : this.#onDown(reason))
  }

  /**
   * Connects, checks what is there, and loads the newest image. Rejects with ExpectedError (78, 69): see `connectRedis` and
   * `checkOwner`. Nothing is written before all is checked.
   */
  static async open(options: RedisStoreOptions): Promise<RedisStore> {
    const {url, prefix, folder: parent, version, importFile} = options
    const connections = await connectRedis(url)
    const {commands} = connections
    let folder: string | undefined
    try {
      const persistence = await persistenceOf(commands)
      if (persistence.problem !== undefined)
        throw configError(
          `The Redis at ${withoutLogin(url)} cannot keep the state: ${persistence.problem}.`,
          'Set maxmemory-policy noeviction in Redis.',
        )
      const owner: Owner = {schema: migrations.length, version}
      const found = await checkOwner(commands, prefix, owner, withoutLogin(url))
      if (importFile !== undefined && found !== 'empty') throw notEmpty(prefix, withoutLogin(url), importFile)
      if (importFile === undefined && found === 'empty') await own(commands, prefix, owner)
      folder = ownFolder(parent)
      const file = join(folder, 'plane.db')
      const decisions = new DecisionLog(commands, prefix)
      const images = new Images(commands, decisions, prefix, folder)
      const isImported = importFile !== undefined
      if (isImported) await copyDatabase(importFile, file)
      const image = isImported ? undefined : await images.load(file)
      const database = await openDatabase(file, {exclusive: false})
      database.exec('PRAGMA synchronous = OFF') // it is a copy: what must survive is in Redis
      migrate(database, file, migrations)
      const parts = {
        connections,
        persistence,
        owner,
        found,
        isImported,
        file,
        decisions,
        images,
        image,
        database,
        folder,
      }
      return new RedisStore(options, parts)
    } catch (error) {
      connections.close()
      if (folder !== undefined) rmSync(folder, {recursive: true, force: true})
      throw error
    }
  }

  get isConnected(): boolean {
    return this.connections.commands.status === 'ready'
  }

  get prefix(): string {
    return this.#options.prefix
  }

  /** Reads the log to its end, and follows it from then on. */
  async start(policy: Policy, onBug: (error: unknown) => void): Promise<RedisEngine> {
    this.#leaseMs = policy.leaseMs
    const {database, clock} = this
    const {onDiverged} = this.#options
    const isConnected = () => this.isConnected
    const isWorthWaiting = () => this.isConnected || performance.now() - (this.#lostAt ?? 0) < shortAbsenceMs
    const calmUntil = () => this.#calmUntil
    const onRefused = (reason: string) => this.#options.log(`Redis refuses a commit: ${reason}`, 'error')
    const told = {onBug, onDiverged, onHealed: (entries: number) => this.#onHealed(entries), onRefused}
    const reseed = () => this.#reseed(engine)
    const parts = {
      database,
      log: this.#decisions,
      isConnected,
      isWorthWaiting,
      policy,
      clock,
      calmUntil,
      reseed,
      ...told,
    }
    const head = this.#isImported ? {position: 1, id: randomUUID()} : startOfLog
    const engine = new RedisEngine(parts, this.#image?.head ?? head)
    this.#engine = engine
    if (this.#isImported) await this.#writeImported(engine)
    if (this.#image) restoreLive(engine.store.state, this.#image.live)
    await engine.fresh().catch((error: unknown) => {
      throw lostAtStart(withoutLogin(this.#options.url), error)
    })
    if (this.#found === 'older') {
      await this.#saveImage(engine)
      await own(this.connections.commands, this.prefix, this.#owner)
    }
    // no worker could renew its leases while no replica ran
    if (engine.state.count('leases', all) > 0) this.#calm()
    this.#background.push(this.#follow(engine), this.#keepImages(engine))
    return engine
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine?.close()
    this.#stop.abort()
    this.connections.close()
    await Promise.allSettled(this.#background)
    this.database.close()
    rmSync(join(this.file, '..'), {recursive: true, force: true})
  }

  /** Passes on what other replicas append. */
  async #follow(engine: RedisEngine): Promise<void> {
    const {clock, connections} = this
    let last = 0
    const step = async () => {
      last = Math.max(last, engine.head.position)
      const entries = await this.#decisions.wait(connections.waiting, last, waitMs)
      engine.receive(entries)
      last = entries.at(-1)?.position ?? last
    }
    await loop(step, {signal: this.#stop.signal, clock, interval: 0, delay: fullJitter(50, 1000)})
  }

  /** Replaces the log by an image from time to time. */
  async #keepImages(engine: RedisEngine): Promise<void> {
    const step = async () => {
      const {entries, bytes} = await this.#decisions.size()
      const newest = await this.#images.newest()
      const most = this.#limits
      if (entries > most.entries + most.kept || bytes > Math.max(most.bytes, newest.bytes))
        await this.#saveImage(engine)
    }
    const {clock} = this
    const onFailure = ({error}: {error: unknown}) => {
      if (this.isConnected) this.#options.log(`the state could not be saved as a whole: ${messageOf(error)}`, 'warn')
    }
    const {signal} = this.#stop
    await loop(step, {signal, clock, interval: this.#limits.checkMs, delay: fullJitter(1000, 30_000), onFailure})
  }

  async #openReader(): Promise<Database> {
    const {DatabaseSync} = await importQuietly()
    return new DatabaseSync(this.file, {readOnly: true})
  }

  async #saveImage(engine: RedisEngine): Promise<void> {
    if (!(await this.#images.lock())) return
    try {
      const reader = await this.#openReader()
      using moment = await engine.atRest(() => pin(reader, engine.head, engine.store.state))
      await this.#images.save(moment, this.#limits.kept)
    } finally {
      await this.#images.unlock()
    }
  }

  /** Gives a Redis that was emptied the state of this replica, which rests. */
  async #reseed(engine: RedisEngine): Promise<void> {
    using moment = pin(await this.#openReader(), engine.head, engine.store.state)
    await this.#images.save(moment, this.#limits.kept)
    await own(this.connections.commands, this.prefix, this.#owner)
    await this.#decisions.restoreHead(engine.head)
  }

  /** Makes the imported database the state of all. Each lease begins again: nobody could renew one. */
  async #writeImported(engine: RedisEngine): Promise<void> {
    const {state} = engine.store
    for (const task of heldTasks(this.database)) {
      const lease = restoredLease(state, task)
      if (lease) state.restore('lease', task.id, lease)
    }

    await this.#reseed(engine)
  }

  #onHealed(entries: number): void {
    const text = `Redis had lost its last ${counted(entries, 'commit')}. It has them again from this control plane`
    this.#options.log(text, 'warn')
  }

  #onUp(): void {
    if (this.#lostAt === undefined) return
    if (performance.now() - this.#lostAt > shortAbsenceMs) this.#calm()
    this.#lostAt = undefined
    this.#options.log('Redis is back', 'info')
    this.onBack()
  }

  #onDown(reason: string): void {
    if (this.#lostAt !== undefined || this.#stop.signal.aborted) return
    this.#lostAt = performance.now()
    const text = `Redis is out of reach (${reason || 'connection closed'}). Requests get 503 until it is back`
    this.#options.log(text, 'warn')
  }

  #onJump(ms: number): void {
    this.#calm()
    const text = `The clock of Redis was set by ${Math.round(ms / 1000)} s. Nothing expires for ${this.#leaseMs / 1000} s`
    this.#options.log(text, 'warn')
  }

  #calm(): void {
    this.#calmUntil = Math.max(this.#calmUntil, this.clock.monotonic() + this.#leaseMs)
  }
}

type Opened = {
  connections: Connections
  persistence: Persistence
  owner: Owner
  found: Found
  isImported: boolean
  file: string
  folder: string
  decisions: DecisionLog
  images: Images
  image: Awaited<ReturnType<Images['load']>>
  database: Database
}

/** In a container each process may have the same pid. */
const ownFolders = new Set<string>()

/** A new folder for this process. Removes those of processes that have ended: each copy is made again. */
function ownFolder(parent: string): string {
  mkdirSync(parent, {recursive: true, mode: 0o700})
  for (const name of readdirSync(parent)) {
    const pid = Number(/^replica-(\d+)-/.exec(name)?.[1] ?? 0)
    const path = join(parent, name)
    const isInUse = pid === process.pid ? ownFolders.has(path) : isRunning(pid)
    if (pid > 0 && !isInUse) rmSync(path, {recursive: true, force: true})
  }
  const own = mkdtempSync(join(parent, `replica-${process.pid}-`))
  ownFolders.add(own)
  return own
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) === 'EPERM'
  }
}

const lostAtStart = (at: string, cause: unknown) =>
  new ExpectedError(`The Redis at ${at} was lost while this control plane started: ${messageOf(cause)}`, {
    code: 'REDIS_UNREACHABLE',
    exit: 'unreachable',
    suggestions: ['Check that Redis runs there, and start the control plane again'],
    cause,
  })

const notEmpty = (prefix: string, at: string, file: string) =>
  configError(
    `The prefix ${prefix} in the Redis at ${at} is not empty, so ${file} was not imported.`,
    'Omit --import to use what is in Redis, or choose another prefix with --redis-prefix.',
  )

/** Copies the database of a control plane that does not run. Throws ExpectedError: in use (75), not usable (78). */
async function copyDatabase(from: string, to: string): Promise<void> {
  const {backup} = await importQuietly()
  const source = await openDatabase(from, {exclusive: true})
  try {
    checkDatabase(source, from)
    await backup(source, to)
  } finally {
    source.close()
  }
}
