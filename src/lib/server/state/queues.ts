import type {PendingTask} from './records.ts'

/** Whether a task is before another one in their queue. */
export const isBefore = (a: PendingTask, b: PendingTask) =>
  a.priority > b.priority || (a.priority === b.priority && a.n < b.n)

/** The pending tasks by codebase, in order. */
export class Queues {
  readonly #queues = new Map<string, PendingTask[]>()
  #size = 0

  get size(): number {
    return this.#size
  }

  of(codebaseId: string): readonly PendingTask[] {
    return this.#queues.get(codebaseId) ?? []
  }

  add(task: PendingTask): void {
    const queue = this.#queues.get(task.codebase_id) ?? []
    if (queue.length === 0) this.#queues.set(task.codebase_id, queue)
    queue.splice(placeOf(queue, task), 0, task)
    this.#size += 1
  }

  remove(task: PendingTask): void {
    const queue = this.#queues.get(task.codebase_id) ?? []
    const place = placeOf(queue, task)
    if (queue[place]?.id !== task.id) return
    if (place === 0) queue.shift()
    else queue.splice(place, 1)
    this.#size -= 1
    if (queue.length === 0) this.#queues.delete(task.codebase_id)
  }

  clear(): void {
    this.#queues.clear()
    this.#size = 0
  }
}

/** The place of a task, or where it would be: a binary search. */
function placeOf(queue: readonly PendingTask[], task: PendingTask): number {
  let [low, high] = [0, queue.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    const other = queue[middle]
    if (other && isBefore(other, task)) low = middle + 1
    else high = middle
  }

  return low
}
