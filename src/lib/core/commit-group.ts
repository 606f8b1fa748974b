import {savepointsOf} from './savepoint.ts'
import type {Database} from './sqlite.ts'

type CommitHooks = {
  /**
   * Called when writes since the last commit were rolled back. State in memory that depends on them is wrong then.
   * `error` is what the work of a `write` threw, or why the commit failed.
   */
  onRollback?: (error: unknown) => void
  /** Called when a callback of `afterCommit` threw. */
  onBug?: (error: unknown) => void
  /**
   * Syncs commits to disk, if the database does not do so itself. Requests go on meanwhile, and their commits share the
   * next sync.
   */
  sync?: (() => Promise<void>) | undefined
}

type Group = {promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void; after: (() => void)[]}

/**
 * Group commit: all writes of one turn of the event loop share one transaction and one disk sync. Wait for `durable`
 * before you acknowledge a write or show data, so that a crash cannot undo it.
 */
export class CommitGroup {
  readonly #database: Database
  readonly #atomically: ReturnType<typeof savepointsOf>
  readonly #hooks: CommitHooks
  #open: Group | undefined
  /** Committed, but not synced to disk. */
  #unsynced: Group[] = []
  #isSyncing = false

  constructor(database: Database, hooks: CommitHooks = {}) {
    this.#database = database
    this.#hooks = hooks
    this.#atomically = savepointsOf(database)
  }

  /** Runs `work` at once, atomically. Throws what `work` throws, after a rollback. */
  write<T>(work: () => T): T {
    this.#begin()
    try {
      return this.#atomically(work)
    } catch (error) {
      if (!this.#database.isTransaction) this.#end()?.reject(error) // a full disk has rolled back all of it
      this.#hooks.onRollback?.(error)
      throw error
    }
  }

  /** Calls `then` once all writes so far are durable; at once if they are. Not called if the commit fails. */
  afterCommit(then: () => void): void {
    const newest = this.#newest()
    if (newest) newest.after.push(then)
    else then()
  }

  /** Resolves when all writes so far are on disk. Rejects if their commit failed. */
  async durable(): Promise<void> {
    await this.#newest()?.promise // earlier groups are synced first
  }

  /** Commits now. Throws if that fails; `durable` rejects then too. */
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
    this.#open.promise.catch(() => {}) // `durable` reports it; there may be no waiter
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

  /** Runs one sync at a time. Each covers all earlier commits. */
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
        this.#hooks.onBug?.(error) // the other callbacks still run
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
