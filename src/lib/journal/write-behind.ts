import {isDiskFull} from '../core/disk-full.ts'
import type {Database} from '../core/sqlite.ts'

/**
 * Writes to a database that are remembered until they are committed: those of one turn of the event loop share a commit,
 * and what finds no room on the disk is written once there is. Bounded, as a later write of a name replaces the earlier.
 */
export class WriteBehind {
  readonly #database: Database
  readonly #makeRoom: () => boolean
  readonly #steps = new Map<string, () => unknown>()
  #isScheduled = false

  /** `makeRoom` is asked when the disk is full; it says whether trying again makes sense. */
  constructor(database: Database, makeRoom: () => boolean) {
    this.#database = database
    this.#makeRoom = makeRoom
  }

  /** Written with the others of this turn, or as soon as that is possible. */
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

  /** Forgets what is not written yet. */
  drop(name: string): void {
    this.#steps.delete(name)
  }

  /** Writes what is left; undefined, or what keeps it from being written. */
  retry(): unknown {
    try {
      this.flush()
      return undefined
    } catch (error) {
      return error
    }
  }

  /** Commits now. Throws when that fails; what has found no room then is still remembered. */
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
      for (const [name, step] of this.#steps) this.#take(name, step)
      database.exec('COMMIT')
      this.#steps.clear()
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK') // a full disk has ended it already
      throw error
    }
  }

  /** One that can never be written must not stand in the way of the others for good. */
  #take(name: string, step: () => unknown): void {
    try {
      step()
    } catch (error) {
      if (!isDiskFull(error)) this.#steps.delete(name)
      throw error
    }
  }
}
