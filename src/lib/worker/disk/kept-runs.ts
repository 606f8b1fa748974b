import {renameSync} from 'node:fs'
import {lstat, readdir, rm} from 'node:fs/promises'
import {join} from 'node:path'
import type {Clock} from '../../core/clock.ts'

export type KeptRunsOptions = {
  /** Folder of the folders of tasks. */
  root: string
  clock: Clock
  /** Ids of the tasks whose folders are in use. */
  inHand: () => ReadonlySet<string>
  /** 0 means no limit, of both. */
  readonly keepMs: number
  readonly keepBytes: number
}

/** What the runs of a task take, and when the last of them was written to. */
type Kept = {bytes: number; at: number}

/** What is being removed has a name that no task has. */
const goingPrefix = '.going-'
const blockBytes = 512

/**
 * The folders of ended runs, for people to look into: too old or too many they go, the oldest first. Nobody else writes
 * there, so the folders are measured once at the start and each task's when a run of it ends.
 */
export class KeptRuns {
  readonly #options: KeptRunsOptions
  readonly #kept = new Map<string, Kept>()
  #bytes = 0

  constructor(options: KeptRunsOptions) {
    this.#options = options
  }

  get usage(): {tasks: number; bytes: number} {
    return {tasks: this.#kept.size, bytes: this.#bytes}
  }

  /** Measures what is there, and ends what an earlier process was removing. */
  async scan(signal: AbortSignal): Promise<void> {
    const {root} = this.#options
    for (const name of await readdir(root).catch(() => [])) {
      if (signal.aborted) return
      if (name.startsWith(goingPrefix)) await rm(join(root, name), {recursive: true, force: true})
      else if (!this.#kept.has(name)) await this.measure(name)
    }
  }

  /** A run of this task has ended, or was found. */
  async measure(task: string): Promise<void> {
    const kept = await measure(join(this.#options.root, task))
    this.#forget(task)
    if (!kept) return
    this.#kept.set(task, kept)
    this.#bytes += kept.bytes
  }

  /** Removes what is too old, and the oldest of what is too much; thousands take seconds, so it can be told to stop. */
  async prune(signal?: AbortSignal): Promise<void> {
    const {clock, keepMs, keepBytes} = this.#options
    const since = keepMs > 0 ? clock.now() - keepMs : -Infinity
    const most = keepBytes > 0 ? keepBytes : Infinity
    for (const [task, {at}] of this.#oldestFirst()) {
      if (signal?.aborted || (at >= since && this.#bytes <= most)) return
      await this.#remove(task)
    }
  }

  /** Removes the oldest until so much is free; nothing where all of them are not enough. Resolves with whether it did. */
  async free(bytes: number): Promise<boolean> {
    const candidates = this.#oldestFirst()
    if (bytes <= 0 || candidates.reduce((sum, [, kept]) => sum + kept.bytes, 0) < bytes) return false
    let left = bytes
    for (const [task, kept] of candidates) {
      if (left <= 0) break
      await this.#remove(task)
      left -= kept.bytes
    }

    return true
  }

  #oldestFirst(): [string, Kept][] {
    const inHand = this.#options.inHand()
    return [...this.#kept].filter(([task]) => !inHand.has(task)).sort(([, a], [, b]) => a.at - b.at)
  }

  /** Moved away in the same moment in which it is not in hand: the next run of its task finds no half of it. */
  async #remove(task: string): Promise<void> {
    const {root, inHand} = this.#options
    if (inHand().has(task)) return
    const going = join(root, `${goingPrefix}${task}`)
    this.#forget(task)
    try {
      renameSync(join(root, task), going)
    } catch {
      return // somebody has removed it already
    }

    await rm(going, {recursive: true, force: true}).catch(() => {}) // the next start tries again
  }

  #forget(task: string): void {
    this.#bytes -= this.#kept.get(task)?.bytes ?? 0
    this.#kept.delete(task)
  }
}

/** Undefined where there is no such folder. */
async function measure(folder: string): Promise<Kept | undefined> {
  try {
    const kept = {bytes: 0, at: 0}
    const names = await readdir(folder, {recursive: true})
    for (const path of [folder, ...names.map((name) => join(folder, name))]) {
      const entry = await lstat(path).catch(() => undefined) // it may be going just now
      kept.bytes += (entry?.blocks ?? 0) * blockBytes
      kept.at = Math.max(kept.at, entry?.mtimeMs ?? 0)
    }

    return kept
  } catch {
    return undefined
  }
}
