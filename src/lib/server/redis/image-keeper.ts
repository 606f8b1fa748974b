import type {Clock} from '../../core/clock.ts'
import {fullJitter, loop} from '../../core/loop.ts'
import {importQuietly, type Database} from '../../core/sqlite.ts'
import type {History} from '../store/engine.ts'
import type {DecisionLog} from './decision-log.ts'
import {pin, type Images, type Moment} from './image.ts'
import type {RedisEngine} from './redis-engine.ts'

/** The log is replaced by an image when it is larger than this, and than the last image. */
export type ImageLimits = {entries: number; bytes: number; kept: number; checkMs: number}
const defaults: ImageLimits = {entries: 50_000, bytes: 16 * 1024 * 1024, kept: 1000, checkMs: 10_000}

export type ImageKeeperOptions = {
  images: Images
  log: DecisionLog
  /** The database of this replica. */
  file: string
  /** Tests have less patience. */
  limits?: Partial<ImageLimits> | undefined
}

/** Writes images of the state of this replica. */
export class ImageKeeper {
  /** It is part of the images. */
  history: Pick<History, 'save'> | undefined
  readonly #images: Images
  readonly #log: DecisionLog
  readonly #file: string
  readonly #limits: ImageLimits

  constructor({images, log, file, limits}: ImageKeeperOptions) {
    this.#images = images
    this.#log = log
    this.#file = file
    this.#limits = {...defaults, ...limits}
  }

  /** Replaces the log by an image from time to time, until aborted. */
  async keep(engine: RedisEngine, clock: Clock, signal: AbortSignal, onFailure: (error: unknown) => void) {
    const {checkMs: interval, ...most} = this.#limits
    const step = async () => {
      const {entries, bytes} = await this.#log.size()
      const newest = await this.#images.newest()
      if (entries > most.entries + most.kept || bytes > Math.max(most.bytes, newest.bytes)) await this.save(engine)
    }
    const delay = fullJitter(1000, 30_000)
    await loop(step, {signal, clock, interval, delay, onFailure: ({error}) => onFailure(error)})
  }

  /** Writes an image, unless another replica does. */
  async save(engine: RedisEngine): Promise<void> {
    if (!(await this.#images.lock())) return
    try {
      const reader = await this.#openReader()
      using moment = await engine.atRest(() => this.#pin(reader, engine))
      await this.#images.save(moment, this.#limits.kept)
    } finally {
      await this.#images.unlock()
    }
  }

  /** Writes an image of an engine that rests. */
  async saveNow(engine: RedisEngine): Promise<void> {
    using moment = this.#pin(await this.#openReader(), engine)
    await this.#images.save(moment, this.#limits.kept)
  }

  #pin(reader: Database, {head, store}: RedisEngine): Moment {
    return pin(reader, {head, state: store.state, history: this.history?.save() ?? ''})
  }

  async #openReader(): Promise<Database> {
    const {DatabaseSync} = await importQuietly()
    return new DatabaseSync(this.#file, {readOnly: true})
  }
}
