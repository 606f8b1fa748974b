/** A task that was pushed to a worker which has not claimed it yet. */
export type Offer = {
  readonly taskId: string
  readonly workerId: string
  readonly connectionId: string
  readonly tree: string | undefined
  /** On the monotonic clock. */
  readonly since: number
}

/** The outstanding offers: at most one a task, and one a working tree. */
export class Offers {
  readonly #byTask = new Map<string, Offer>()
  readonly #byTree = new Map<string, Offer>()
  readonly #perWorker = new Map<string, number>()

  add(offer: Offer): void {
    this.#byTask.set(offer.taskId, offer)
    if (offer.tree) this.#byTree.set(offer.tree, offer)
    this.#perWorker.set(offer.workerId, this.countFor(offer.workerId) + 1)
  }

  remove(taskId: string): Offer | undefined {
    const offer = this.#byTask.get(taskId)
    if (!offer) return undefined
    this.#byTask.delete(taskId)
    if (offer.tree) this.#byTree.delete(offer.tree)
    const left = this.countFor(offer.workerId) - 1
    if (left > 0) this.#perWorker.set(offer.workerId, left)
    else this.#perWorker.delete(offer.workerId)
    return offer
  }

  get(taskId: string): Offer | undefined {
    return this.#byTask.get(taskId)
  }

  ofTree(tree: string): Offer | undefined {
    return this.#byTree.get(tree)
  }

  countFor(workerId: string): number {
    return this.#perWorker.get(workerId) ?? 0
  }

  where(condition: (offer: Offer) => boolean): Offer[] {
    return [...this.#byTask.values()].filter(condition)
  }
}
