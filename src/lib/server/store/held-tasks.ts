import type {StoredTask} from '../state/records.ts'
import type {Disk} from '../state/live-state.ts'

/** Longer tasks are read from disk each time: their prompts would take too much memory. */
const maxFrameSize = 16 * 1024
const maxTasks = 5000

/**
 * Tasks, with those that workers hold in memory: each is read a few times and changed a few times before it ends. Output
 * is dropped in the database directly, and such a task is read from there.
 */
export class HeldTasks implements Disk {
  readonly request: Disk['request']
  readonly input: Disk['input']
  readonly #read: Disk['task']
  readonly #held = new Map<string, StoredTask>()
  /** Tasks whose output was dropped: only the database knows how much. */
  readonly #changing = new Set<string>()

  constructor({task: read, request, input}: Pick<Disk, 'task' | 'request' | 'input'>) {
    this.#read = read
    this.request = request
    this.input = input
  }

  task(id: string): StoredTask | undefined {
    return this.#held.get(id) ?? this.#read(id)
  }

  onChange(id: string, task: StoredTask | undefined): void {
    const isHeld = task?.status === 'assigned' || task?.status === 'running'
    const isSmall = isHeld && task.frame_size <= maxFrameSize && this.#held.size < maxTasks
    if (isSmall && !this.#changing.has(id)) this.#held.set(id, task)
    else this.#held.delete(id)
    if (!isHeld) this.#changing.delete(id)
  }

  /** Output of this task is dropped in the database. */
  forget(id: string): void {
    this.#held.delete(id)
    this.#changing.add(id)
  }

  clear(): void {
    this.#held.clear()
    this.#changing.clear()
  }
}
