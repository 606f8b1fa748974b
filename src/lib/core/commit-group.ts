import type {Database} from './sqlite.ts'

type CommitHooks = {
  /**
   * What was written since the last commit, or some of it, is gone: whatever memory says about it is wrong. `error` is
   * what the work of a `write` has thrown, or why the database could not commit.
   */
  onRollback?: (error: unknown) => void
  /** Something that was to be done after a commit has failed. */
  onBug?: (error: unknown) => void
  /**
   * Brings what is committed to the disk, where the database itself does not wait for that. Meanwhile others are served,
   * and what they commit shares the next trip.
   */
  sync?: (() => Promise<void>) | undefined
}

type Group = {promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void; after: (() => void)[]}

/**
 * Group commit: all writes of one turn of the event loop share one transaction, and with it one trip to the disk.
 * Whoever wrote or read in that turn waits for `settled` before it tells anybody, so nothing is acknowledged that a
 * crash could take back.
 */
export class CommitGroup {
  readonly #database: Database
  readonly #hooks: CommitHooks
  #open: Group | undefined
  /** Committed, but not on the disk yet. */
  #unsynced: Group[] = []
  #isSyncing = false

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
      else this.#end()?.reject(error) // a full disk has ended the whole transaction
      this.#hooks.onRollback?.(error)
      throw error
    }
  }

  /** Calls `then` once what is written now is kept; at once when all is. Not called if that fails. */
  afterCommit(then: () => void): void {
    const newest = this.#newest()
    if (newest) newest.after.push(then)
    else then()
  }

  /** Resolves when all that is written now is on the disk. */
  async settled(): Promise<void> {
    await this.#newest()?.promise // those before it come to the disk before it
  }

  /** Commits now. Throws when that fails; those who wait in `settled` are told too. */
  flush(): void {
    const failure = this.#commit()
    if (failure) throw failure.error
  }

  #newest(): Group | undefined {
    return this.#open ?? this.#unsynced.at(-1)
  }

  #begin(): void {
    if (this.#open) return
    this.#database.exec('BEGIN IMMEDIATE')
    this.#open = {...Promise.withResolvers<void>(), after: []}
    this.#open.promise.catch(() => {}) // those who wait see it; nobody may be waiting
    setImmediate(() => this.#commit())
  }

  #commit(): {error: unknown} | undefined {
    if (!this.#open) return undefined
    try {
      this.#database.exec('COMMIT')
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      this.#end()?.reject(error)
      this.#hooks.onRollback?.(error)
      return {error}
    }

    const group = this.#end()
    if (group && !this.#hooks.sync) this.#settle(group)
    else if (group) {
      this.#unsynced.push(group)
      void this.#sync(this.#hooks.sync)
    }

    return undefined
  }

  /** One trip to the disk at a time, each for all that was committed before it began. */
  async #sync(sync: CommitHooks['sync']): Promise<void> {
    if (this.#isSyncing) return
    this.#isSyncing = true
    while (this.#unsynced.length > 0) {
      const groups = [...this.#unsynced]
      const failure = await sync?.().then(
        () => undefined,
        (error: unknown) => ({error}),
      )
      this.#unsynced.splice(0, groups.length)
      for (const group of groups) {
        if (failure) group.reject(failure.error)
        else this.#settle(group)
      }
    }

    this.#isSyncing = false
  }

  #settle({after, resolve}: Group): void {
    for (const then of after) {
      try {
        then()
      } catch (error) {
        this.#hooks.onBug?.(error) // it is no reason to keep the others waiting
      }
    }

    resolve()
  }

  #end(): Group | undefined {
    const group = this.#open
    this.#open = undefined
    return group
  }
}
