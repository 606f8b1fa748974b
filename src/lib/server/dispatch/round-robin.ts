/** When a worker was last offered a task of a codebase: the one that waited longest is next. */
export class Turns {
  readonly #byWorker = new Map<string, Map<string, number>>()
  #count = 0

  take(workerId: string, codebaseId: string): void {
    const turns = this.#byWorker.get(workerId) ?? new Map<string, number>()
    this.#byWorker.set(workerId, turns.set(codebaseId, (this.#count += 1)))
  }

  /** 0: never. */
  last(workerId: string, codebaseId: string): number {
    return this.#byWorker.get(workerId)?.get(codebaseId) ?? 0
  }

  forget(workerId: string): void {
    this.#byWorker.delete(workerId)
  }
}
