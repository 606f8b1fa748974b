import {mkdirSync, rmdirSync, rmSync} from 'node:fs'
import {rm} from 'node:fs/promises'
import {basename, dirname, join} from 'node:path'
import {cannotWriteError} from '../../config/state-directory.ts'
import type {Clock} from '../../core/clock.ts'
import {errorCode} from '../../core/errors.ts'
import {runFiles} from '../../executor/executor.ts'
import type {KeptRuns} from './kept-runs.ts'

/** Ids come from the server; in a path they are taken only as what they should be. */
export const isSafeId = (id: string) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(id)

/** Tidying is never in the way of a task: it is done in the background, at most this often. */
const tidyMs = 5000

/** The folders of a worker's runs: `runs/<task>/<attempt>/`. */
export class RunFolders {
  readonly #root: string
  readonly #clock: Clock
  readonly #kept: KeptRuns
  #tidiedAt = Number.NEGATIVE_INFINITY

  constructor(root: string, clock: Clock, kept: KeptRuns) {
    this.#root = root
    this.#clock = clock
    this.#kept = kept
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
      throw cannotWriteError(path, error)
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

  /** A run is over: its temporary files go, and of all runs those that are too old or too many. */
  ended(path: string): void {
    if (path === '') return
    void this.#tidy(path).catch(() => {}) // what is left is tried again after another run
  }

  async #tidy(path: string): Promise<void> {
    try {
      rmdirSync(join(path, runFiles.tmp)) // mostly it is empty
    } catch {
      await rm(join(path, runFiles.tmp), {recursive: true, force: true})
    }

    await this.#kept.measure(basename(dirname(path)))
    if (this.#clock.monotonic() - this.#tidiedAt < tidyMs) return
    this.#tidiedAt = this.#clock.monotonic()
    await this.#kept.prune()
  }
}
