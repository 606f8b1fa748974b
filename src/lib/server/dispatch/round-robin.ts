/** Remembers when a worker was last offered a task of a codebase. The one that waited longest is next. */
export class RoundRobin {
  readonly #byWorker = new Map<string, Map<string, number>>()
  #count = 0

  recordTurn(workerId: string, codebaseId: string): void {
    const turns = this.#byWorker.get(workerId) ?? new Map<string, number>()
    this.#byWorker.set(workerId, turns.set(codebaseId, (this.#count += 1)))
  }

  /** The number of its last turn; 0 if it never had one. */
  lastTurn(workerId: string, codebaseId: string): number {
    return this.#byWorker.get(workerId)?.get(codebaseId) ?? 0
  }

  forget(workerId: string): void {
    this.#byWorker.delete(workerId)
  }
}
