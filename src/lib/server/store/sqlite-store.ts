import type {Clock} from '../../core/clock.ts'
import type {Database} from '../../core/sqlite.ts'
import type {Change} from '../state/decision.ts'
import {LiveState} from '../state/live-state.ts'
import type {Policy} from '../state/state.ts'
import {HeldTasks} from './held-tasks.ts'
import type {Maintenance} from './maintenance.ts'
import {changeWriter, isDurable} from './sqlite-changes.ts'
import {inputReader, restoreDialogues} from './sqlite-inputs.ts'
import {sqliteMaintenance, type Write} from './sqlite-maintenance.ts'
import {requestReader, restoreRegistry} from './sqlite-registry.ts'
import {pendingTasks, taskReader} from './sqlite-tasks.ts'
import {sqliteViews} from './sqlite-views.ts'
import type {Views} from './views.ts'

export type SqliteStoreOptions = {
  /** Migrated. */
  database: Database
  policy: Policy
  clock: Pick<Clock, 'now' | 'monotonic'>
  /** Runs all work that writes. */
  write: Write
}

/** The state in memory, and the database that holds what is too large for it, or must survive. An engine commits. */
export class SqliteStore {
  readonly state: LiveState
  readonly views: Views
  readonly maintenance: Maintenance
  readonly #database: Database
  readonly #write: Write
  readonly #writeChange: ReturnType<typeof changeWriter>

  constructor({database, policy, clock, write}: SqliteStoreOptions) {
    this.#database = database
    this.#write = write
    const held = new HeldTasks({
      task: taskReader(database),
      request: requestReader(database),
      input: inputReader(database),
    })
    this.state = new LiveState(policy, clock, held)
    this.#writeChange = changeWriter(database)
    this.views = sqliteViews(database)
    const maintenance = sqliteMaintenance(database, write, this.state)
    this.maintenance = {
      ...maintenance,
      dropOutput: (taskId, bytes) => {
        held.forget(taskId)
        return maintenance.dropOutput(taskId, bytes)
      },
    }
  }

  apply(changes: readonly Change[]): void {
    if (changes.length === 0) return
    const durable = changes.filter(isDurable)
    if (durable.length > 0) this.#write(() => durable.forEach((change) => this.#writeChange(change)))
    this.state.apply(changes)
  }

  /** Makes memory match the database: at the start, and after a commit has failed. What is not on disk stays. */
  restore(): void {
    this.state.clear(['worker', 'codebase', 'binding', 'usedToken', 'browserSession', 'dialogue'])
    restoreRegistry(this.#database, this.state)
    restoreDialogues(this.#database, this.state)
    this.state.restoreQueue(pendingTasks(this.#database))
    this.state.restoreNumber(lastNumber(this.#database))
  }
}

function lastNumber(database: Database): number {
  const row = database
    .prepare("SELECT max(seq, (SELECT coalesce(max(n), 0) FROM tasks)) AS n FROM sqlite_sequence WHERE name = 'tasks'")
    .get()
  return Number(row?.['n'] ?? 0)
}
