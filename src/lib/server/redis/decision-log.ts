import {randomUUID} from 'node:crypto'
import type {Redis} from 'ioredis'
import {commitCommand, type CommitCommand} from './commit-script.ts'

/** A place in the log: the number of its last entry, and that entry's own id. Two logs with one head are the same. */
export type Head = {position: number; id: string}

export const start: Head = {position: 0, id: ''}

/** An entry of the log, as it is stored. */
export type LogEntry = Head & {text: string}

/**
 * `committed`: the log goes on from the head that was expected. `elsewhere`: it has another one. `isTaken`: it is the turn
 * of another replica. Each with the time of Redis in ms.
 */
export type Reply = {now: number} & ({committed: Head} | {elsewhere: Head} | {isTaken: true})

const pageEntries = 200
/** A turn ends by itself after this time, if its replica has died. */
const turnMs = 200

/**
 * The log of all commits, which is the state that replicas share. Whoever has applied it to its end may append to it:
 * Redis compares the head. So a commit relies on all that its replica has seen, and on nothing else.
 */
export class DecisionLog {
  readonly #redis: Redis & CommitCommand
  readonly #keys: {head: string; log: string; turn: string}
  readonly #own = randomUUID()

  /** `prefix` ends with the hash tag that keeps all keys on one shard of a cluster. */
  constructor(redis: Redis & CommitCommand, prefix: string) {
    this.#redis = redis
    this.#keys = {head: `${prefix}head`, log: `${prefix}log`, turn: `${prefix}turn`}
  }

  /** An id for an entry. A commit that is sent twice is recognised by it. */
  nextHead({position}: Head): Head {
    return {position: position + 1, id: randomUUID()}
  }

  /**
   * Appends an entry after this head. Without an entry: compares the head only. `asksForTurn`: if it is too late, nobody
   * else may append before the caller has, for a moment.
   */
  async append(expected: Head, entry?: LogEntry, asksForTurn = false): Promise<Reply> {
    const {head, log, turn} = this.#keys
    const written = entry ? [formatHead(entry), `${entry.position}-0`, entry.id, entry.text] : []
    const reply = await this.#redis[commitCommand](
      ...([head, log, turn] as const),
      ...[formatHead(expected), this.#own, asksForTurn ? '1' : '', String(turnMs), ...written],
    )
    const [code, seconds, micros, at] = reply
    const now = Number(seconds) * 1000 + Number(micros) / 1000
    if (code === 2) return {isTaken: true, now}
    return code === 1 ? {committed: parseHead(at), now} : {elsewhere: parseHead(at), now}
  }

  /** Some entries after a position, oldest first. Those up to an image of the state may be gone. */
  async read(after: number): Promise<LogEntry[]> {
    const found = await this.#redis.xrange(this.#keys.log, `(${after}-0`, '+', 'COUNT', pageEntries)
    return found.map(toEntry)
  }

  /** Waits for entries after a position on a connection of its own. Resolves with none after some time. */
  async wait(redis: Redis, after: number, ms: number): Promise<LogEntry[]> {
    const found = await redis.xread('COUNT', pageEntries, 'BLOCK', ms, 'STREAMS', this.#keys.log, `${after}-0`)
    return (found?.[0]?.[1] ?? []).map(toEntry)
  }

  /** Sets the head of a Redis that was emptied. Resolves with false if it has one. */
  async restoreHead(head: Head): Promise<boolean> {
    return (await this.#redis.set(this.#keys.head, formatHead(head), 'NX')) === 'OK'
  }

  /** How many entries there are, and their size in bytes, roughly. */
  async size(): Promise<{entries: number; bytes: number}> {
    const usage = this.#redis.memory('USAGE', this.#keys.log, 'SAMPLES', 20)
    const [entries, bytes] = await Promise.all([
      this.#redis.xlen(this.#keys.log),
      usage.catch(() => 0), // some providers forbid it
    ])
    return {entries, bytes: bytes ?? 0}
  }

  /** Removes the entries up to a position, which an image contains. */
  async trim(position: number): Promise<void> {
    if (position < 1) return
    await this.#redis.xtrim(this.#keys.log, 'MINID', `${position + 1}-0`)
  }
}

const formatHead = ({position, id}: Head) => (position === 0 ? '' : `${position} ${id}`)

function parseHead(text: string): Head {
  const [position = '', id = ''] = text.split(' ')
  return position === '' ? start : {position: Number(position), id}
}

function toEntry([streamId, fields]: [string, string[]]): LogEntry {
  const [, id = '', , text = ''] = fields
  return {position: Number.parseInt(streamId, 10), id, text}
}
