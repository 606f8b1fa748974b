/** Until when a task is not offered to a worker, and why. */
export type OfferBackoff = {
  /** When it ends, in monotonic ms. */
  until: number
  pauseMs: number
  /** How many offers the worker did not claim in time. */
  missed: number
  reason: string | undefined
  /** `due` has reported its end. */
  isDue: boolean
}

const maxPauseMs = 60_000

/** The backoffs of workers that missed or declined an offer, by task. */
export class OfferBackoffs {
  readonly #byTask = new Map<string, Map<string, OfferBackoff>>()

  get(taskId: string, workerId: string): OfferBackoff | undefined {
    return this.#byTask.get(taskId)?.get(workerId)
  }

  /** The worker did not claim the offer in time. It gets the next one after a pause that doubles each time. */
  missed(taskId: string, workerId: string, {now, firstPauseMs}: {now: number; firstPauseMs: number}): void {
    const known = this.get(taskId, workerId)
    const pauseMs = known ? Math.min(maxPauseMs, known.pauseMs * 2) : firstPauseMs
    const missed = (known?.missed ?? 0) + 1
    this.#set(taskId, workerId, {until: now + pauseMs, pauseMs, missed, reason: undefined, isDue: false})
  }

  declined(taskId: string, workerId: string, {until, reason}: {until: number; reason: string}): void {
    const {pauseMs = maxPauseMs, missed = 0} = this.get(taskId, workerId) ?? {}
    this.#set(taskId, workerId, {until, pauseMs, missed, reason, isDue: false})
  }

  forgetTask(taskId: string): void {
    this.#byTask.delete(taskId)
  }

  /** The worker has connected or registered again, so its backoffs no longer apply. */
  forgetWorker(workerId: string): void {
    for (const [taskId, workers] of this.#byTask) {
      workers.delete(workerId)
      if (workers.size === 0) this.#byTask.delete(taskId)
    }
  }

  /** Tasks with a backoff that has ended since the last call. */
  due(now: number): Set<string> {
    const due = new Set<string>()
    for (const [taskId, workers] of this.#byTask)
      for (const backoff of workers.values())
        if (!backoff.isDue && backoff.until <= now) {
          backoff.isDue = true
          due.add(taskId)
        }
    return due
  }

  /** Reasons by worker, of the workers that declined the task and have not returned since. */
  decliners(taskId: string): Map<string, string> {
    const reasons = new Map<string, string>()
    for (const [workerId, {reason}] of this.#byTask.get(taskId) ?? [])
      if (reason !== undefined) reasons.set(workerId, reason)
    return reasons
  }

  /** `decliners` of every task. */
  *allDecliners(): Generator<[taskId: string, decliners: Map<string, string>]> {
    for (const taskId of this.#byTask.keys()) yield [taskId, this.decliners(taskId)]
  }

  #set(taskId: string, workerId: string, backoff: OfferBackoff): void {
    this.#byTask.set(taskId, (this.#byTask.get(taskId) ?? new Map()).set(workerId, backoff))
  }
}
