import {formatBytes} from '../../core/text/format-bytes.ts'
import {tryLater} from './http-error.ts'

/** A body up to this size is always read: the number of connections limits those. */
const smallBytes = 64 * 1024
const retrySeconds = 2

/**
 * Limits the memory of all request bodies together. Whoever sends a large one while that is used up is told to try again,
 * before memory runs out.
 */
export class BodyBudget {
  readonly #maxBytes: number
  #used = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Begins to count the body of a request. Dispose of it when the request is answered. */
  open(): BodyUse {
    let bytes = 0
    return {
      add: (more) => {
        if (bytes + more > smallBytes && this.#used + more > this.#maxBytes)
          throw tryLater(
            503,
            `Requests of ${formatBytes(this.#used)} are being received: try again`,
            retrySeconds,
            'bodies',
          )
        bytes += more
        this.#used += more
      },
      [Symbol.dispose]: () => {
        this.#used -= bytes
        bytes = 0
      },
    }
  }
}

export type BodyUse = Disposable & {
  /** Counts bytes before they are kept. Throws 503 if there is no room for them. */
  add(bytes: number): void
}
