import {HttpError} from './http-error.ts'
import type {Database} from '../core/sqlite.ts'

type CommitHooks = {
  /** What was written since the last commit, or some of it, is gone: whatever memory says about it is wrong. */
  onRollback: () => void
  /** Something that was to be done after a commit has failed. */
  onBug: (error: unknown) => void
}

/**
 * Group commit: all writes of one turn of the event loop share one transaction, and with it one fdatasync. Whoever
 * wrote or read in that turn waits for `settled` before it tells anybody, so nothing is acknowledged that a crash
 * could take back.
 */
export class CommitGroup {
  readonly #database: Database
  readonly #hooks: CommitHooks
  #open: {promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void} | undefined
  #after: (() => void)[] = []

  constructor(database: Database, hooks: CommitHooks) {
    this.#database = database
    this.#hooks = hooks
  }

  /** Runs `work` at once, all or nothing. */
  write<T>(work: () => T): T {
    this.#begin()
    this.#database.exec('SAVEPOINT step')
    try {
      const result = work()
      this.#database.exec('RELEASE step')
      return result
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK TO step; RELEASE step')
      else this.#fail(error) // a full disk has ended the whole transaction
      if (!(error instanceof HttpError)) this.#hooks.onRollback()
      throw error
    }
  }

  /** Calls `then` after the commit of what is written now; at once when nothing is. Not called if that commit fails. */
  afterCommit(then: () => void): void {
    if (this.#open) this.#after.push(then)
    else then()
  }

  /** Resolves when all that is written now is on the disk. */
  async settled(): Promise<void> {
    while (this.#open) await this.#open.promise
  }

  /** Commits now; what follows must not write. */
  flush(): void {
    if (this.#open) this.#commit()
  }

  #begin(): void {
    if (this.#open) return
    this.#database.exec('BEGIN IMMEDIATE')
    this.#open = Promise.withResolvers()
    this.#open.promise.catch(() => {}) // those who wait see it; nobody may be waiting
    setImmediate(() => this.flush())
  }

  #commit(): void {
    try {
      this.#database.exec('COMMIT')
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      this.#fail(error)
      this.#hooks.onRollback()
      return
    }

    const [group, after] = this.#end()
    for (const then of after) {
      try {
        then()
      } catch (error) {
        this.#hooks.onBug(error) // it is no reason to keep the others waiting
      }
    }

    group?.resolve()
  }

  #fail(error: unknown): void {
    const [group] = this.#end()
    group?.reject(error)
  }

  #end() {
    const ended = [this.#open, this.#after] as const
    this.#open = undefined
    this.#after = []
    return ended
  }
}
