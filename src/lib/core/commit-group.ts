import type {Database} from './sqlite.ts'

type CommitHooks = {
  /**
   * What was written since the last commit, or some of it, is gone: whatever memory says about it is wrong. `error` is
   * what the work of a `write` has thrown, or why the database could not commit.
   */
  onRollback?: (error: unknown) => void
  /** Something that was to be done after a commit has failed. */
  onBug?: (error: unknown) => void
}

/**
 * Group commit: all writes of one turn of the event loop share one transaction, and with it one trip to the disk.
 * Whoever wrote or read in that turn waits for `settled` before it tells anybody, so nothing is acknowledged that a
 * crash could take back.
 */
export class CommitGroup {
  readonly #database: Database
  readonly #hooks: CommitHooks
  #open: {promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void} | undefined
  #after: (() => void)[] = []

  constructor(database: Database, hooks: CommitHooks = {}) {
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
      this.#hooks.onRollback?.(error)
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

  /** Commits now. Throws when that fails; those who wait in `settled` are told too. */
  flush(): void {
    const failure = this.#commit()
    if (failure) throw failure.error
  }

  #begin(): void {
    if (this.#open) return
    this.#database.exec('BEGIN IMMEDIATE')
    this.#open = Promise.withResolvers()
    this.#open.promise.catch(() => {}) // those who wait see it; nobody may be waiting
    setImmediate(() => this.#commit())
  }

  #commit(): {error: unknown} | undefined {
    if (!this.#open) return undefined
    try {
      this.#database.exec('COMMIT')
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      this.#fail(error)
      this.#hooks.onRollback?.(error)
      return {error}
    }

    const [group, after] = this.#end()
    for (const then of after) {
      try {
        then()
      } catch (error) {
        this.#hooks.onBug?.(error) // it is no reason to keep the others waiting
      }
    }

    group?.resolve()
    return undefined
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
