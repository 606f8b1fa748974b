import {mkdirSync, rmdirSync, rmSync, writeFileSync} from 'node:fs'
import {rm} from 'node:fs/promises'
import {basename, dirname, join} from 'node:path'
import {cannotWriteError} from '../../config/state-directory.ts'
import type {Clock} from '../../core/clock.ts'
import {errorCode} from '../../core/errors.ts'
import {runFiles} from '../../executor/spool/file-names.ts'
import type {RunRetention} from './run-retention.ts'

/** Whether a task id from the control plane is safe as a folder name. */
export const isSafeId = (id: string) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(id)

/** The shortest time between two prunes. Pruning runs in the background and must not slow a task down. */
const pruneMs = 5000
/** More than the smallest prompt, spool and journal row need. */
const probeBytes = 64 * 1024

/** The folders of a worker's runs: `runs/<task>/<attempt>/`. */
export class RunFolders {
  readonly #root: string
  readonly #clock: Clock
  readonly #retention: RunRetention
  #prunedAt = Number.NEGATIVE_INFINITY

  constructor(root: string, clock: Clock, retention: RunRetention) {
    this.#root = root
    this.#clock = clock
    this.#retention = retention
  }

  /** Creates the folder of one run, empty and private. Throws ExpectedError (73) if it cannot be written. */
  create(taskId: string, attempt: number): string {
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

  /** Throws as `create` does, if a run could not write its files now. */
  probe(): void {
    const path = this.create('probe', 0)
    try {
      writeFileSync(join(path, runFiles.prompt), Buffer.alloc(probeBytes))
    } catch (error) {
      throw cannotWriteError(path, error)
    } finally {
      this.discard(path)
    }
  }

  /** Removes the folder of a run that will not happen, because another worker has the task. */
  discard(path: string): void {
    if (path === '') return
    try {
      rmSync(path, {recursive: true, force: true})
      rmdirSync(dirname(path)) // the task's folder, unless it contains an earlier attempt
    } catch {
      // Retention removes it later.
    }
  }

  /** Called when a run is over: removes its temporary files and prunes old runs, in the background. */
  finish(path: string): void {
    if (path === '') return
    void this.#cleanUp(path).catch(() => {}) // tried again after another run
  }

  async #cleanUp(path: string): Promise<void> {
    try {
      rmdirSync(join(path, runFiles.tmp)) // usually empty
    } catch {
      await rm(join(path, runFiles.tmp), {recursive: true, force: true})
    }

    await this.#retention.measure(basename(dirname(path)))
    if (this.#clock.monotonic() - this.#prunedAt < pruneMs) return
    this.#prunedAt = this.#clock.monotonic()
    await this.#retention.prune()
  }
}
