/** Readers that wait for more output of a task, or for its end. */
export class Followers {
  readonly #waiting = new Map<string, Set<() => void>>()
  #closed = false

  /** Resolves when there may be something new, or when `signal` is aborted. */
  wait(taskId: string, signal: AbortSignal): Promise<void> {
    if (this.#closed || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(taskId) ?? new Set()
      this.#waiting.set(taskId, waiting)
      const done = () => {
        waiting.delete(done)
        if (waiting.size === 0) this.#waiting.delete(taskId)
        signal.removeEventListener('abort', done)
        resolve()
      }
      waiting.add(done)
      signal.addEventListener('abort', done, {once: true})
    })
  }

  get closed(): boolean {
    return this.#closed
  }

  wake(taskId: string): void {
    for (const done of this.#waiting.get(taskId) ?? []) done()
  }

  wakeAll(): void {
    for (const taskId of this.#waiting.keys()) this.wake(taskId)
  }

  closeAll(): void {
    this.#closed = true
    this.wakeAll()
  }
}
