/** A task that was pushed to a worker and is not claimed yet. */
export type Offer = {
  readonly taskId: string
  readonly workerId: string
  readonly connectionId: string
  readonly tree: string | undefined
  /** When it was pushed, in monotonic ms. */
  readonly since: number
}

/** The open offers: at most one per task. */
export class Offers {
  readonly #byTask = new Map<string, Offer>()
  readonly #byTree = new Map<string, Set<Offer>>()
  readonly #perWorker = new Map<string, number>()

  add(offer: Offer): void {
    this.#byTask.set(offer.taskId, offer)
    if (offer.tree) this.#byTree.set(offer.tree, (this.#byTree.get(offer.tree) ?? new Set()).add(offer))
    this.#perWorker.set(offer.workerId, this.countFor(offer.workerId) + 1)
  }

  remove(taskId: string): Offer | undefined {
    const offer = this.#byTask.get(taskId)
    if (!offer) return undefined
    this.#byTask.delete(taskId)
    const onTree = offer.tree === undefined ? undefined : this.#byTree.get(offer.tree)
    onTree?.delete(offer)
    if (offer.tree !== undefined && onTree?.size === 0) this.#byTree.delete(offer.tree)
    const left = this.countFor(offer.workerId) - 1
    if (left > 0) this.#perWorker.set(offer.workerId, left)
    else this.#perWorker.delete(offer.workerId)
    return offer
  }

  get(taskId: string): Offer | undefined {
    return this.#byTask.get(taskId)
  }

  onTree(tree: string): ReadonlySet<Offer> {
    return this.#byTree.get(tree) ?? new Set()
  }

  countFor(workerId: string): number {
    return this.#perWorker.get(workerId) ?? 0
  }

  filter(condition: (offer: Offer) => boolean): Offer[] {
    return [...this.#byTask.values()].filter(condition)
  }
}
