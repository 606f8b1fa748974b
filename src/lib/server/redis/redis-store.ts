import {randomUUID} from 'node:crypto'
import {rmSync} from 'node:fs'
import {join} from 'node:path'
import {messageOf} from '../../core/errors.ts'
import {fullJitter, loop} from '../../core/loop.ts'
import type {Database} from '../../core/sqlite.ts'
import {counted} from '../../core/text/counted.ts'
import {all} from '../state/records.ts'
import type {Policy} from '../state/state.ts'
import type {History} from '../store/engine.ts'
import {restoredLease} from '../store/restored-lease.ts'
import {heldTasks} from '../store/sqlite-tasks.ts'
import {type Connections, lostAtStart} from './connection.ts'
import {start as startOfLog} from './decision-log.ts'
import {Grace} from './grace.ts'
import {restoreLive} from './image.ts'
import {ImageKeeper, type ImageLimits} from './image-keeper.ts'
import {openReplica, type OpenedReplica, type ReplicaPlace} from './open-replica.ts'
import {own} from './owner.ts'
import type {Persistence} from './persistence.ts'
import {RedisClock} from './redis-clock.ts'
import {RedisEngine} from './redis-engine.ts'

export type RedisStoreOptions = ReplicaPlace & {
  log: (line: string, level?: 'info' | 'warn' | 'error') => void
  images?: Partial<ImageLimits>
  /** This process must start again. */
  onDiverged: (reason: string) => void
}

type StoreHooks = {history: History; onBug: (error: unknown) => void}

/** How long one wait for entries lasts, in ms. */
const waitMs = 2000

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
  readonly #opened: OpenedReplica
  readonly #images: ImageKeeper
  readonly #grace: Grace
  readonly #stop = new AbortController()
  readonly #background: Promise<void>[] = []
  #engine: RedisEngine | undefined

  private constructor(options: RedisStoreOptions, opened: OpenedReplica) {
    const {connections, persistence, file, database, images, log} = opened
    this.#options = options
    this.#opened = opened
    this.#images = new ImageKeeper({images, log, file, limits: options.images})
    this.connections = connections
    this.persistence = persistence
    this.file = file
    this.database = database
    this.clock = new RedisClock((ms) => this.#onJump(ms))
    this.#grace = new Grace(this.clock)
    connections.onChange = (isUp, reason) => (isUp ? this.#onUp() : this.#onDown(reason))
  }

  /** Rejects with ExpectedError (78, 69): see `openReplica`. */
  static async open(options: RedisStoreOptions): Promise<RedisStore> {
    return new RedisStore(options, await openReplica(options))
  }

  get isConnected(): boolean {
    return this.connections.commands.status === 'ready'
  }

  get prefix(): string {
    return this.#options.prefix
  }

  /** Reads the log to its end, and follows it from then on. */
  async start(policy: Policy, {history, onBug}: StoreHooks): Promise<RedisEngine> {
    const {database, clock} = this
    this.#images.history = history
    const {image, isImported, found, log} = this.#opened
    const grace = this.#grace
    grace.leaseMs = policy.leaseMs
    const isConnected = () => this.isConnected
    const head = isImported ? {position: 1, id: randomUUID()} : startOfLog
    const engine: RedisEngine = new RedisEngine(
      {
        ...{database, log, policy, clock, isConnected, history, onBug},
        isWorthWaiting: () => this.isConnected || grace.isShort,
        calmUntil: () => grace.until,
        reseed: () => this.#reseed(engine),
        onDiverged: this.#options.onDiverged,
        onHealed: (entries) => this.#onHealed(entries),
        onRefused: (reason) => this.#options.log(`Redis refuses a commit: ${reason}`, 'error'),
      },
      image?.head ?? head,
    )
    this.#engine = engine
    if (isImported)
      await this.#writeImported(engine).catch((error: unknown) => {
        throw lostAtStart(this.#options.url, error)
      })
    if (image) restoreLive(engine.store.state, image.live)
    if (image?.history) history.restore(image.history)
    try {
      await engine.fresh()
      if (found === 'older') {
        await this.#images.save(engine)
        await this.#own()
      }
    } catch (error) {
      throw lostAtStart(this.#options.url, error)
    }
    // no worker could renew its leases while no replica ran
    if (engine.state.count('leases', all) > 0) grace.begin()
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
      const entries = await this.#opened.log.wait(connections.waiting, last, waitMs)
      engine.receive(entries)
      last = entries.at(-1)?.position ?? last
    }
    await loop(step, {signal: this.#stop.signal, clock, interval: 0, delay: fullJitter(50, 1000)})
  }

  async #keepImages(engine: RedisEngine): Promise<void> {
    await this.#images.keep(engine, this.clock, this.#stop.signal, (error) => {
      if (this.isConnected) this.#options.log(`the state could not be saved as a whole: ${messageOf(error)}`, 'warn')
    })
  }

  async #own(): Promise<void> {
    await own(this.connections.commands, this.prefix, this.#opened.owner)
  }

  /** Gives a Redis that was emptied the state of this replica, which rests. */
  async #reseed(engine: RedisEngine): Promise<void> {
    await this.#images.saveNow(engine)
    await this.#own()
    await this.#opened.log.restoreHead(engine.head)
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
    if (!this.#grace.back()) return
    this.#options.log('Redis is back', 'info')
    this.onBack()
  }

  #onDown(reason: string): void {
    if (this.#stop.signal.aborted || !this.#grace.lost()) return
    const text = `Redis is out of reach (${reason || 'connection closed'}). Requests get 503 until it is back`
    this.#options.log(text, 'warn')
  }

  #onJump(ms: number): void {
    this.#grace.begin()
    const text = `The clock of Redis was set by ${Math.round(ms / 1000)} s. Nothing expires for ${this.#grace.leaseMs / 1000} s`
    this.#options.log(text, 'warn')
  }
}
