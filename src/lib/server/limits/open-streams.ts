import type {Client} from '../http/app-env.ts'
import type {Identity} from '../http/auth.ts'
import {tryLater} from '../http/http-error.ts'
import {limits} from '../../protocol/limits.ts'

/** A stream that is refused may be tried again after this long. */
const retrySeconds = 10

/** Counts the open streams of each client. A worker's token needs few: it has one worker. */
export class OpenStreams {
  readonly #max: number
  readonly #counts = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** Counts a stream until the returned function is called. Throws 429 if the client has too many open streams. */
  open({key, name, isFree}: Client, identity: Identity | undefined): () => void {
    const max = identity?.scope === 'worker' ? Math.min(this.#max, limits.workerStreams) : this.#max
    const count = this.#counts.get(key) ?? 0
    if (!isFree && count >= max)
      throw tryLater(
        429,
        `${name} has ${count} open streams, which is the limit (--max-streams)`,
        retrySeconds,
        'streams',
      )
    this.#counts.set(key, count + 1)
    return () => {
      const left = (this.#counts.get(key) ?? 1) - 1
      if (left > 0) this.#counts.set(key, left)
      else this.#counts.delete(key)
    }
  }
}
