import {renameSync} from 'node:fs'
import {lstat, readdir, rm} from 'node:fs/promises'
import {join} from 'node:path'
import type {Clock} from '../../core/clock.ts'

export type RunRetentionOptions = {
  /** The folder that contains one folder per task. */
  root: string
  clock: Clock
  /** Ids of tasks whose folders are in use. */
  activeTaskIds: () => ReadonlySet<string>
  /** 0 means no limit, for both. */
  readonly maxAgeMs: number
  readonly maxBytes: number
}

/** The disk usage of a task's runs, and when the newest file was written (Unix ms). */
type StoredRuns = {bytes: number; at: number}

/** Marks a folder that is being removed. No task id begins with a dot. */
const removingPrefix = '.going-'
const blockBytes = 512

/**
 * The folders of ended runs, which people may want to read. The oldest are removed once they exceed an age or a total
 * size. No other process writes there: each folder is measured once at the start and again when a run of its task ends.
 */
export class RunRetention {
  readonly #options: RunRetentionOptions
  readonly #stored = new Map<string, StoredRuns>()
  #bytes = 0

  constructor(options: RunRetentionOptions) {
    this.#options = options
  }

  get usage(): {tasks: number; bytes: number} {
    return {tasks: this.#stored.size, bytes: this.#bytes}
  }

  /** Measures all folders, and finishes removals that an earlier process began. */
  async scan(signal: AbortSignal): Promise<void> {
    const {root} = this.#options
    for (const name of await readdir(root).catch(() => [])) {
      if (signal.aborted) return
      if (name.startsWith(removingPrefix)) await rm(join(root, name), {recursive: true, force: true})
      else if (!this.#stored.has(name)) await this.measure(name)
    }
  }

  /** Measures the folder of one task again. */
  async measure(task: string): Promise<void> {
    const stored = await measureFolder(join(this.#options.root, task))
    this.#forget(task)
    if (!stored) return
    this.#stored.set(task, stored)
    this.#bytes += stored.bytes
  }

  /** Removes folders over the limits, oldest first. Thousands take seconds, so it can be aborted. */
  async prune(signal?: AbortSignal): Promise<void> {
    const {clock, maxAgeMs, maxBytes} = this.#options
    const since = maxAgeMs > 0 ? clock.now() - maxAgeMs : -Infinity
    const limit = maxBytes > 0 ? maxBytes : Infinity
    for (const [task, {at}] of this.#oldestFirst()) {
      if (signal?.aborted || (at >= since && this.#bytes <= limit)) return
      await this.#remove(task)
    }
  }

  /** Removes the oldest folders until `bytes` are freed. Resolves with false, and removes nothing, if all are too few. */
  async free(bytes: number): Promise<boolean> {
    const candidates = this.#oldestFirst()
    if (bytes <= 0 || candidates.reduce((sum, [, stored]) => sum + stored.bytes, 0) < bytes) return false
    let left = bytes
    for (const [task, stored] of candidates) {
      if (left <= 0) break
      await this.#remove(task)
      left -= stored.bytes
    }

    return true
  }

  /** Removes the folders of this many tasks, oldest first. Resolves with false if there is none. */
  async freeTasks(count: number): Promise<boolean> {
    const oldest = this.#oldestFirst().slice(0, count)
    for (const [task] of oldest) await this.#remove(task)
    return oldest.length > 0
  }

  #oldestFirst(): [string, StoredRuns][] {
    const active = this.#options.activeTaskIds()
    return [...this.#stored].filter(([task]) => !active.has(task)).sort(([, a], [, b]) => a.at - b.at)
  }

  /** Renames the folder in the same turn as the check for active tasks, so that a new run never finds half of it. */
  async #remove(task: string): Promise<void> {
    const {root, activeTaskIds} = this.#options
    if (activeTaskIds().has(task)) return
    const renamed = join(root, `${removingPrefix}${task}`)
    this.#forget(task)
    try {
      renameSync(join(root, task), renamed)
    } catch {
      return // already removed by somebody
    }

    await rm(renamed, {recursive: true, force: true}).catch(() => {}) // the next start tries again
  }

  #forget(task: string): void {
    this.#bytes -= this.#stored.get(task)?.bytes ?? 0
    this.#stored.delete(task)
  }
}

/** Resolves with undefined if the folder does not exist. */
async function measureFolder(folder: string): Promise<StoredRuns | undefined> {
  try {
    const stored = {bytes: 0, at: 0}
    const names = await readdir(folder, {recursive: true})
    for (const path of [folder, ...names.map((name) => join(folder, name))]) {
      const entry = await lstat(path).catch(() => undefined) // may have just been removed
      stored.bytes += (entry?.blocks ?? 0) * blockBytes
      stored.at = Math.max(stored.at, entry?.mtimeMs ?? 0)
    }

    return stored
  } catch {
    return undefined
  }
}
