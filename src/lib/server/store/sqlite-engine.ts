import type {Clock} from '../../core/clock.ts'
import {CommitGroup} from '../../core/commit-group.ts'
import type {Database} from '../../core/sqlite.ts'
import {holds} from '../state/check.ts'
import type {Decision} from '../state/decision.ts'
import {LiveState} from '../state/live-state.ts'
import {newLease} from '../state/new-lease.ts'
import {all, type Lease} from '../state/records.ts'
import type {Policy} from '../state/state.ts'
import {StaleDecisionError, type Engine} from './engine.ts'
import {HeldTasks} from './held-tasks.ts'
import type {Maintenance} from './maintenance.ts'
import {changeWriter, isDurable} from './sqlite-changes.ts'
import {sqliteMaintenance} from './sqlite-maintenance.ts'
import {requestReader, restoreRegistry} from './sqlite-registry.ts'
import {heldTasks, pendingTasks, taskReader, type HeldTask} from './sqlite-tasks.ts'
import {sqliteViews} from './sqlite-views.ts'
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
 * The engine of one process: SQLite holds what must survive, and memory the rest. Calls are synchronous. All decisions of
 * one turn of the event loop share a commit, and commits during a sync share the next one. Leases are in memory: after a
 * start each begins again, because no worker could renew it meanwhile.
 */
export class SqliteEngine implements Engine {
  readonly state: LiveState
  readonly views: Views
  readonly maintenance: Maintenance
  readonly #database: Database
  readonly #commits: CommitGroup
  readonly #write: ReturnType<typeof changeWriter>
  #lastNumber: number

  constructor({database, policy, clock, sync, onRestored, onBug}: SqliteEngineOptions) {
    this.#database = database
    const held = new HeldTasks(taskReader(database), requestReader(database))
    this.state = new LiveState(policy, clock, held)
    this.#commits = new CommitGroup(database, {
      sync,
      onRollback: (error) => {
        this.#restore()
        onRestored(error)
      },
      onBug,
    })
    this.#write = changeWriter(database)
    this.views = sqliteViews(database)
    const maintenance = sqliteMaintenance(database, this.#commits, this.state)
    this.maintenance = {
      ...maintenance,
      dropOutput: (taskId, bytes) => {
        held.forget(taskId)
        return maintenance.dropOutput(taskId, bytes)
      },
    }
    this.#lastNumber = lastNumber(database)
    this.#restore()
  }

  nextNumber(): number {
    return (this.#lastNumber += 1)
  }

  apply(decision: Decision): void {
    const {basis, changes} = decision
    if (basis !== this.state.version && !decision.preconditions.every((condition) => holds(this.state, condition)))
      throw new StaleDecisionError()
    if (changes.length === 0) return
    const durable = changes.filter(isDurable)
    if (durable.length > 0) this.#commits.write(() => durable.forEach((change) => this.#write(change)))
    this.state.apply(changes)
  }

  afterCommit(then: () => void): void {
    this.#commits.afterCommit(then)
  }

  async durable(): Promise<void> {
    await this.#commits.durable()
  }

  /** Makes memory match the database: at the start, and after a commit has failed. What is not on disk stays. */
  #restore(): void {
    const {state} = this
    state.clear(['worker', 'codebase', 'binding', 'usedToken'])
    restoreRegistry(this.#database, state)
    state.restoreQueue(pendingTasks(this.#database))
    const leases = new Map([...state.find('leases', all)].map((lease) => [lease.taskId, lease]))
    state.clear(['lease', 'offer'])
    for (const task of heldTasks(this.#database)) {
      const known = leases.get(task.id)
      const isKnown = known?.attempt === task.attempt && known.workerId === task.worker_id
      const lease = isKnown ? known : this.#newLease(task)
      if (lease) state.restore('lease', task.id, lease)
    }
  }

  #newLease(task: HeldTask): Lease | undefined {
    const {time, now, policy} = this.state
    const {worker_id: workerId, lost_since, cancel_requested_at} = task
    if (workerId === null) return undefined
    const canStop = this.state.get('worker', workerId)?.features.includes('lease') ?? false
    return {
      ...newLease(this.state, task, workerId, {isConfirmed: task.status === 'running'}),
      doubtfulSince: time,
      isLost: lost_since !== null,
      failsAt: lost_since === null ? undefined : time + timeLeft(lost_since, now, policy.lostTimeoutMs),
      cancelledAt: cancel_requested_at !== null && !canStop ? time + policy.unstoppableMs : undefined,
    }
  }
}

const timeLeft = (since: string, now: number, timeoutMs: number) => Math.max(0, Date.parse(since) + timeoutMs - now)

function lastNumber(database: Database): number {
  const row = database
    .prepare("SELECT max(seq, (SELECT coalesce(max(n), 0) FROM tasks)) AS n FROM sqlite_sequence WHERE name = 'tasks'")
    .get()
  return Number(row?.['n'] ?? 0)
}
