import {globalCodebase} from '../protocol/routes.ts'
import type {StoredTask} from './store.ts'

/** A task that a worker holds, as the plane keeps it in memory. Times are monotonic ms. */
export type Run = {
  taskId: string
  attempt: number
  workerId: string
  tree: string | undefined
  claimedAt: number
  /** End of the lease. */
  deadline: number
  lost: boolean
  /** May go to another worker when its lease lapses: it is bound to no codebase. */
  movable: boolean
}

export const isMovable = (task: Pick<StoredTask, 'codebase_id' | 'agent_type'>) =>
  task.codebase_id === globalCodebase || task.agent_type === 'echo' || task.agent_type === 'noop'

/** Which tasks run where, with their leases. Rebuilt from the store when the plane starts: each lease begins afresh. */
export class Runs {
  readonly #runs = new Map<string, Run>()
  readonly #lastSync = new Map<string, number>()

  get(taskId: string): Run | undefined {
    return this.#runs.get(taskId)
  }

  add(run: Run): void {
    this.#runs.set(run.taskId, run)
  }

  remove(taskId: string): void {
    this.#runs.delete(taskId)
  }

  all(): Run[] {
    return [...this.#runs.values()]
  }

  of(workerId: string): Run[] {
    return this.all().filter((run) => run.workerId === workerId)
  }

  inTree(tree: string): Run | undefined {
    return this.all().find((run) => run.tree === tree)
  }

  /**
   * Notes that the worker was in step with us at `now` (a registration or a heartbeat) and answers with the time of
   * the point before. A worker lists a task from before its claim on and sends heartbeats one after the other, so a
   * task that is missing in one is truly not held if it was claimed before the point before.
   */
  sync(workerId: string, now: number): number | undefined {
    const before = this.#lastSync.get(workerId)
    this.#lastSync.set(workerId, now)
    return before
  }
}
