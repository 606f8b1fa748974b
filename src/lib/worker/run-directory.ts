import {mkdirSync, rmdirSync, rmSync} from 'node:fs'
import {readdir, rm, stat} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {cannotWrite} from '../config/state-directory.ts'
import type {Clock} from '../core/clock.ts'
import {errorCode} from '../core/errors.ts'
import {runFiles} from '../executor/executor.ts'

/** Ids come from the server; in a path they are taken only as what they should be. */
export const isSafeId = (id: string) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(id)

/** So many tasks' folders stay, for people to look into. */
const keptTasks = 50
/** Tidying is never in the way of a task: it is done in the background, at most this often. */
const tidyMs = 5000

/** The folders of a worker's runs: `runs/<task>/<attempt>/`. */
export class RunFolders {
  readonly #root: string
  readonly #clock: Clock
  readonly #inHand: () => ReadonlySet<string>
  #tidiedAt = Number.NEGATIVE_INFINITY

  /** `inHand` tells the ids of the tasks whose folders are in use. */
  constructor(workerDir: string, clock: Clock, inHand: () => ReadonlySet<string>) {
    this.#root = join(workerDir, 'runs')
    this.#clock = clock
    this.#inHand = inHand
  }

  /** The folder of one run, made anew and private. Throws ExpectedError (73). */
  make(taskId: string, attempt: number): string {
    const path = join(this.#root, taskId, String(attempt))
    try {
      mkdirSync(dirname(path), {recursive: true, mode: 0o700})
      try {
        mkdirSync(path, {mode: 0o700})
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') throw error
        rmSync(path, {recursive: true, force: true})
        mkdirSync(path, {mode: 0o700})
      }

      return path
    } catch (error) {
      throw cannotWrite(path, error)
    }
  }

  /** Takes the folder of a run away that will not be: the task went to somebody else. */
  discard(path: string): void {
    if (path === '') return
    try {
      rmSync(path, {recursive: true, force: true})
      rmdirSync(dirname(path)) // the task's, unless an earlier attempt is in it
    } catch {
      // Tidied with the next runs.
    }
  }

  /** A run is over: its temporary files go, and of all tasks only the newest keep their folders. */
  ended(path: string): void {
    if (path === '') return
    try {
      rmdirSync(join(path, runFiles.tmp)) // mostly it is empty
    } catch {
      void rm(join(path, runFiles.tmp), {recursive: true, force: true}).catch(() => {})
    }

    if (this.#clock.monotonic() - this.#tidiedAt < tidyMs) return
    this.#tidiedAt = this.#clock.monotonic()
    void this.#tidy().catch(() => {}) // what is left is tried again after another run
  }

  async #tidy(): Promise<void> {
    const names = await readdir(this.#root)
    if (names.length <= keptTasks) return
    const inHand = this.#inHand()
    const dated: {name: string; at: number}[] = []
    for (const name of names)
      if (!inHand.has(name)) dated.push({name, at: (await stat(join(this.#root, name))).mtimeMs})
    for (const {name} of dated.sort((a, b) => b.at - a.at).slice(keptTasks))
      await rm(join(this.#root, name), {recursive: true, force: true})
  }
}
