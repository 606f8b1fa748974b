import {isDiskFull} from '../core/disk-full.ts'
import type {Database} from '../core/sqlite.ts'

/**
 * Queues writes to a database until they are committed. Writes of one turn of the event loop share a commit. Writes that
 * fail on a full disk are retried. The queue is bounded, because a later write replaces an earlier one of the same name.
 */
export class WriteQueue {
  readonly #database: Database
  readonly #makeRoom: () => boolean
  readonly #steps = new Map<string, () => unknown>()
  #isScheduled = false

  /** `makeRoom` is called when the disk is full. It returns whether another try makes sense. */
  constructor(database: Database, makeRoom: () => boolean) {
    this.#database = database
    this.#makeRoom = makeRoom
  }

  /** Queues a write. It is committed with the others of this turn, or as soon as possible. */
  add(name: string, step: () => unknown): void {
    this.#steps.delete(name)
    this.#steps.set(name, step)
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.retry()
    })
  }

  /** Removes a write that is still queued. */
  drop(name: string): void {
    this.#steps.delete(name)
  }

  /** Commits the queue. Returns the error if that fails. */
  retry(): unknown {
    try {
      this.flush()
      return undefined
    } catch (error) {
      return error
    }
  }

  /** Commits the queue. Throws if that fails; writes that found no space stay queued. */
  flush(): void {
    if (this.#steps.size === 0) return
    try {
      this.#commit()
    } catch (error) {
      if (!isDiskFull(error) || !this.#makeRoom()) throw error
      this.#commit()
    }
  }

  #commit(): void {
    const database = this.#database
    database.exec('BEGIN IMMEDIATE')
    try {
      for (const [name, step] of this.#steps) this.#run(name, step)
      database.exec('COMMIT')
      this.#steps.clear()
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK') // a full disk has rolled it back already
      throw error
    }
  }

  /** Drops a write that fails for another reason than space. Otherwise it would block all others. */
  #run(name: string, step: () => unknown): void {
    try {
      step()
    } catch (error) {
      if (!isDiskFull(error)) this.#steps.delete(name)
      throw error
    }
  }
}
