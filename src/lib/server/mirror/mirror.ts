import type {Redis} from 'ioredis'
import {messageOf} from '../../core/errors.ts'
import {counted} from '../../core/text/counted.ts'
import type {Plane} from '../plane/plane.ts'
import type {Change} from '../state/decision.ts'
import type {Log} from '../streams/activity-lines.ts'
import {ChangedPlaces} from './changed-places.ts'
import {allPlaces, mirrorKey, mirrorValue, registryPlaces, type MirrorPlace} from './mirror-places.ts'
import {mirrorWriter, type MirrorValue} from './mirror-script.ts'

export type MirrorTimings = {
  /** How long changes are collected. */
  collectMs: number
  /** How often a long list is written at most. */
  longMs: number
  /** How often workers and codebases are written without a change: their status changes with time. */
  refreshMs: number
  /** How long nothing is tried after an error of Redis. */
  pauseMs: number
}

const defaults: MirrorTimings = {collectMs: 250, longMs: 3000, refreshMs: 60_000, pauseMs: 5000}
/** Above this number of waiting keys all keys are written again instead. */
const maxWaiting = 20_000
/** Keys of others that are told of one by one. */
const maxTold = 20

export type MirrorOptions = {
  /** A connection of its own. It may be down. */
  redis: Redis
  /** The key of our record of what is ours. */
  record: string
  plane: Plane
  log: Log
  timings?: Partial<MirrorTimings> | undefined
}

type Waiting = {place: MirrorPlace; from: number}

/**
 * Writes the keys of the existing server for those who read them, after the commits and beside everything else. Each
 * replica writes what concerns any commit, from its own state, once it has applied the commit. So whoever writes last has
 * the last state.
 */
export class Mirror {
  readonly #options: MirrorOptions
  readonly #timings: MirrorTimings
  readonly #write: (key: string, value: MirrorValue) => Promise<boolean>
  readonly #changed: ChangedPlaces
  readonly #waiting = new Map<string, Waiting>()
  readonly #told = new Set<string>()
  readonly #refresh: NodeJS.Timeout
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  /** `all`: write everything again, and remove what is not there any more. `removed`: only the latter. */
  #due: 'all' | 'removed' | undefined = 'all'
  #mayHaveRemoved = false
  #problem = ''
  #isClosed = false

  constructor(options: MirrorOptions) {
    const {redis, record, plane} = options
    this.#options = options
    this.#timings = {...defaults, ...options.timings}
    this.#write = mirrorWriter(redis, record)
    this.#changed = new ChangedPlaces(plane.state)
    plane.watch((changes) => (changes === 'all' ? this.#writeAll() : this.#onChanges(changes)))
    redis.on('ready', () => this.#writeAll())
    this.#refresh = setInterval(() => this.#onRefresh(), this.#timings.refreshMs)
    this.#refresh.unref()
    this.#schedule()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#refresh)
    clearTimeout(this.#timer)
    this.#options.redis.disconnect()
    await this.#running
  }

  #onChanges(changes: readonly Change[]): void {
    for (const change of changes) {
      const {places, sweep} = this.#changed.of(change)
      for (const place of places) this.#mark(place)
      if (sweep === 'later') this.#mayHaveRemoved = true
      if (sweep === 'now') this.#due ??= 'removed'
    }
    this.#schedule()
  }

  #onRefresh(): void {
    for (const place of registryPlaces(this.#options.plane)) this.#mark(place)
    if (this.#mayHaveRemoved) this.#due ??= 'removed'
    this.#mayHaveRemoved = false
    this.#schedule()
  }

  #writeAll(): void {
    this.#due = 'all'
    this.#waiting.clear()
    this.#schedule()
  }

  #mark(place: MirrorPlace): void {
    if (this.#due === 'all') return // it is written anyway
    const key = mirrorKey(place)
    if (this.#waiting.has(key)) return
    const isLong = place.of === 'sessions' || place.of === 'messages'
    this.#waiting.set(key, {place, from: performance.now() + (isLong ? this.#timings.longMs : 0)})
    if (this.#waiting.size > maxWaiting) this.#writeAll()
  }

  #schedule(pauseMs = this.#timings.collectMs): void {
    const isIdle = this.#due === undefined && this.#waiting.size === 0
    if (this.#isClosed || this.#timer || this.#running || isIdle || this.#options.redis.status !== 'ready') return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#running = this.#run().then((nextMs) => {
        this.#running = undefined
        this.#schedule(nextMs)
      })
    }, pauseMs)
  }

  /** Writes what is due. Resolves with the pause before the next time. */
  async #run(): Promise<number> {
    const {log, redis} = this.#options
    try {
      const {pauseMs: _, collectMs} = this.#timings
      const due = this.#due
      this.#due = undefined
      if (due) await this.#reconcile(due)
      for (const [key, {place, from}] of this.#waiting) {
        if (this.#isClosed) break
        if (from > performance.now()) continue
        this.#waiting.delete(key)
        await this.#put(place)
      }
      if (this.#problem !== '') log('The mirror in Redis is written again', 'info')
      this.#problem = ''
      return collectMs
    } catch (error) {
      this.#due = 'all'
      this.#waiting.clear()
      const problem = messageOf(error)
      // a lost connection is told by whoever uses the state
      if (!this.#isClosed && redis.status === 'ready' && problem !== this.#problem) {
        log(`The mirror in Redis cannot be written now: ${problem}`, 'warn')
        this.#problem = problem
      }
      return this.#timings.pauseMs
    }
  }

  async #reconcile(which: 'all' | 'removed'): Promise<void> {
    const {redis, record, plane} = this.#options
    const places = await allPlaces(plane)
    const wanted = new Set(places.map((place) => mirrorKey(place)))
    for (const key of await redis.hkeys(record)) if (!wanted.has(key)) await this.#put({of: 'nothing', key})
    if (which === 'all') for (const place of places) await this.#put(place)
  }

  async #put(place: MirrorPlace): Promise<void> {
    if (this.#isClosed || (place.of === 'worker' && place.id === 'index')) return // the key of that one is the index
    const {plane} = this.#options
    await new Promise(setImmediate) // requests come first
    await plane.durable() // what was not committed is not shown
    const key = mirrorKey(place)
    if (!(await this.#write(key, mirrorValue(plane, place)))) this.#tell(key)
  }

  #tell(key: string): void {
    const told = this.#told
    if (told.has(key) || told.size >= maxTold) return
    told.add(key)
    const {log} = this.#options
    log(`The key ${key} in Redis belongs to somebody else, so --redis-mirror leaves it alone`, 'warn')
    if (told.size === maxTold)
      log(`Further keys of others are not named after these ${counted(maxTold, 'key')}`, 'warn')
  }
}
