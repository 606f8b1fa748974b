/** Why a task is not offered to a worker now. */
export type Holdoff = {
  /** On the monotonic clock. */
  until: number
  pauseMs: number
  /** Offers that this worker let pass. */
  missed: number
  reason: string | undefined
  /** Its time was up and somebody was told. */
  isDue: boolean
}

const longestPause = 60_000

/** Which workers let an offer pass or declined it, by task. */
export class Holdoffs {
  readonly #byTask = new Map<string, Map<string, Holdoff>>()

  get(taskId: string, workerId: string): Holdoff | undefined {
    return this.#byTask.get(taskId)?.get(workerId)
  }

  /** The worker did not take the offer: it is asked again after a pause that doubles. */
  missed(taskId: string, workerId: string, {now, firstPauseMs}: {now: number; firstPauseMs: number}): void {
    const known = this.get(taskId, workerId)
    const pauseMs = known ? Math.min(longestPause, known.pauseMs * 2) : firstPauseMs
    const missed = (known?.missed ?? 0) + 1
    this.#set(taskId, workerId, {until: now + pauseMs, pauseMs, missed, reason: undefined, isDue: false})
  }

  declined(taskId: string, workerId: string, {until, reason}: {until: number; reason: string}): void {
    const {pauseMs = longestPause, missed = 0} = this.get(taskId, workerId) ?? {}
    this.#set(taskId, workerId, {until, pauseMs, missed, reason, isDue: false})
  }

  forgetTask(taskId: string): void {
    this.#byTask.delete(taskId)
  }

  /** The worker is another than before, as far as we know: it has connected or registered anew. */
  forgetWorker(workerId: string): void {
    for (const [taskId, workers] of this.#byTask) {
      workers.delete(workerId)
      if (workers.size === 0) this.#byTask.delete(taskId)
    }
  }

  /** Tasks with a worker whose pause has just ended; each pause is reported once. */
  due(now: number): Set<string> {
    const due = new Set<string>()
    for (const [taskId, workers] of this.#byTask)
      for (const holdoff of workers.values())
        if (!holdoff.isDue && holdoff.until <= now) {
          holdoff.isDue = true
          due.add(taskId)
        }
    return due
  }

  /** Workers that declined the task and have not come back since. */
  decliners(taskId: string): Map<string, string> {
    const reasons = new Map<string, string>()
    for (const [workerId, {reason}] of this.#byTask.get(taskId) ?? [])
      if (reason !== undefined) reasons.set(workerId, reason)
    return reasons
  }

  /** The same of each task. */
  *allDecliners(): Generator<[taskId: string, decliners: Map<string, string>]> {
    for (const taskId of this.#byTask.keys()) yield [taskId, this.decliners(taskId)]
  }

  #set(taskId: string, workerId: string, holdoff: Holdoff): void {
    this.#byTask.set(taskId, (this.#byTask.get(taskId) ?? new Map()).set(workerId, holdoff))
  }
}
