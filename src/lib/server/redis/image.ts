import {randomUUID} from 'node:crypto'
import {readFileSync, rmSync, writeFileSync} from 'node:fs'
import {promisify} from 'node:util'
import {gunzip, gzip} from 'node:zlib'
import type {Redis} from 'ioredis'
import {importQuietly, type Database} from '../../core/sqlite.ts'
import type {LiveState} from '../state/live-state.ts'
import {idOf, type Kind, type Records} from '../state/records.ts'
import {volatileKinds} from '../store/sqlite-changes.ts'
import type {DecisionLog, Head} from './decision-log.ts'

const compress = promisify(gzip)
const decompress = promisify(gunzip)

const chunkBytes = 512 * 1024
/** Pages of 4 KiB that are copied before the event loop gets a turn. */
const pagesAtOnce = 200
const lockMs = 120_000

/** The state at a moment, pinned. */
export type Moment = Disposable & {head: Head; reader: Database; live: string; history: string}

/** Pins state and database. To be called while nothing is being committed. `reader`: opened for this. */
export function pin(reader: Database, {head, state, history}: {head: Head; state: LiveState; history: string}): Moment {
  reader.exec('BEGIN')
  reader.prepare('SELECT count(*) FROM workers').get() // from here on it sees this moment
  const live = Object.fromEntries(volatileKinds.map((kind) => [kind, [...state.all(kind)].map(([, record]) => record)]))
  return {head, reader, live: JSON.stringify(live), history, [Symbol.dispose]: () => reader.close()}
}

/**
 * Images of the state in Redis, with which a new replica begins. The entries of the log up to an image are removed, so
 * that the log stays short. An image is the database, compressed, what is in memory only, and what is remembered of events.
 */
export class Images {
  readonly #redis: Redis
  readonly #log: DecisionLog
  readonly #keys: {image: string; lock: string; chunk: (position: number, n: number) => string}
  readonly #folder: string

  constructor(redis: Redis, log: DecisionLog, prefix: string, folder: string) {
    this.#redis = redis
    this.#log = log
    this.#folder = folder
    const image = `${prefix}image`
    this.#keys = {image, lock: `${prefix}image-lock`, chunk: (position, n) => `${image}:${position}:${n}`}
  }

  /** Position and size in bytes of the newest image. Position 0: there is none. */
  async newest(): Promise<{position: number; bytes: number}> {
    const [position, bytes] = await this.#redis.hmget(this.#keys.image, 'position', 'bytes')
    return {position: Number(position ?? 0), bytes: Number(bytes ?? 0)}
  }

  /** Whether this replica may write an image now. Another one that does keeps it out. */
  async lock(): Promise<boolean> {
    return (await this.#redis.set(this.#keys.lock, '1', 'PX', lockMs, 'NX')) === 'OK'
  }

  /**
   * Writes an image of a moment, and removes the older one and the entries that are in it, but for the last `kept`, for
   * replicas that are a little behind.
   */
  async save({head, reader, live, history}: Moment, kept: number): Promise<void> {
    const bytes = await compress(await this.#copy(reader), {level: 1})
    const {position} = await this.newest()
    const old = Number((await this.#redis.hget(this.#keys.image, 'chunks')) ?? 0)
    const chunks = Math.ceil(bytes.length / chunkBytes)
    for (let n = 0; n < chunks; n++) {
      const part = bytes.subarray(n * chunkBytes, (n + 1) * chunkBytes)
      await this.#redis.set(this.#keys.chunk(head.position, n), part)
    }

    const about = {
      ...{position: head.position, id: head.id, chunks, bytes: bytes.length, live},
      history: await compress(history, {level: 1}),
    }
    await this.#redis.hset(this.#keys.image, about)
    if (position !== head.position) for (let n = 0; n < old; n++) await this.#redis.del(this.#keys.chunk(position, n))
    await this.#log.trim(head.position - kept)
  }

  async unlock(): Promise<void> {
    await this.#redis.del(this.#keys.lock)
  }

  /** Writes the newest image to a file. Resolves with undefined if there is none. */
  async load(file: string): Promise<{head: Head; live: string; history: string} | undefined> {
    for (let tries = 0; tries < 5; tries++) {
      const found = await this.#redis.hgetallBuffer(this.#keys.image)
      const {position, id = '', chunks, live = '{}', history} = found as Partial<typeof found>
      if (position === undefined) return undefined
      const parts: Buffer[] = []
      for (let n = 0; n < Number(chunks); n++) {
        const part = await this.#redis.getBuffer(this.#keys.chunk(Number(position), n))
        if (part) parts.push(part)
      }

      if (parts.length < Number(chunks)) continue // a newer image has replaced it meanwhile
      writeFileSync(file, await decompress(Buffer.concat(parts)), {mode: 0o600})
      return {
        head: {position: Number(position), id: String(id)},
        live: String(live),
        history: history ? String(await decompress(history)) : '',
      }
    }

    throw new Error('the image in Redis is replaced faster than it can be read')
  }

  async #copy(reader: Database): Promise<Buffer> {
    const {backup} = await importQuietly()
    const file = `${this.#folder}/image-${randomUUID()}.db`
    try {
      await backup(reader, file, {rate: pagesAtOnce})
      return readFileSync(file)
    } finally {
      rmSync(file, {force: true})
    }
  }
}

/** Puts what an image has of memory into the state. */
export function restoreLive(state: LiveState, live: string): void {
  const kinds = JSON.parse(live) as Partial<Record<Kind, Records[Kind][]>>
  for (const kind of volatileKinds)
    for (const record of kinds[kind] ?? []) state.restore(kind, idOf[kind](record as never), record as never)
}
