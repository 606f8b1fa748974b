import type {Clock} from '../../core/clock.ts'
import {CommitGroup} from '../../core/commit-group.ts'
import type {Database} from '../../core/sqlite.ts'
import {restoredLease} from './restored-lease.ts'
import {all} from '../state/records.ts'
import type {Policy, State} from '../state/state.ts'
import type {Engine, EngineListener, Step} from './engine.ts'
import type {Maintenance} from './maintenance.ts'
import {SqliteStore} from './sqlite-store.ts'
import {heldTasks} from './sqlite-tasks.ts'
import type {Views} from './views.ts'

export type SqliteEngineOptions = {
  /** Migrated. */
  database: Database
  policy: Policy
  clock: Clock
  /** Syncs commits to disk, if the database does not do so itself. */
  sync?: (() => Promise<void>) | undefined
  /** Called when a commit has failed, and the state was restored from what is on disk. */
  onRestored: (error: unknown) => void
  onBug: (error: unknown) => void
}

/**
 * The engine of one process: SQLite holds what must survive, and memory the rest. Steps are made and applied at once, so
 * none is made twice. All decisions of one turn of the event loop share a commit, and commits during a sync share the
 * next one. Leases are in memory: after a start each begins again, because no worker could renew it meanwhile.
 */
export class SqliteEngine implements Engine {
  readonly views: Views
  readonly problem = undefined
  readonly calmUntil = 0
  readonly #store: SqliteStore
  readonly #database: Database
  readonly #commits: CommitGroup
  #listener: EngineListener = {onChanges: () => {}, perform: () => {}}

  constructor({database, policy, clock, sync, onRestored, onBug}: SqliteEngineOptions) {
    this.#database = database
    const commits = new CommitGroup(database, {
      sync,
      onRollback: (error) => {
        this.#restore()
        onRestored(error)
      },
      onBug,
    })
    this.#commits = commits
    this.#store = new SqliteStore({database, policy, clock, write: (work) => commits.write(work)})
    this.views = this.#store.views
    this.#restore()
  }

  get state(): State {
    return this.#store.state
  }

  attach(listener: EngineListener): void {
    this.#listener = listener
  }

  async execute<Answer>(step: Step<Answer>): Promise<Answer> {
    const {answer, changes, events} = step(this.#store.maintenance)
    this.#store.apply(changes)
    for (const event of events) this.#commits.afterCommit(() => this.#listener.perform(event))
    this.#listener.onChanges(changes)
    return answer
  }

  async maintain<Result>(work: (maintenance: Maintenance) => Result): Promise<Result> {
    return work(this.#store.maintenance)
  }

  async fresh(): Promise<void> {
    // no other process changes the state
  }

  async durable(): Promise<void> {
    await this.#commits.durable()
  }

  #restore(): void {
    const {state} = this.#store
    this.#store.restore()
    const leases = new Map([...state.find('leases', all)].map((lease) => [lease.taskId, lease]))
    state.clear(['lease', 'offer'])
    for (const task of heldTasks(this.#database)) {
      const known = leases.get(task.id)
      const isKnown = known?.attempt === task.attempt && known.workerId === task.worker_id
      const lease = isKnown ? known : restoredLease(state, task)
      if (lease) state.restore('lease', task.id, lease)
    }
  }
}
