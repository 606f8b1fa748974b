import {randomBytes} from 'node:crypto'
import {rmSync, statSync, unlinkSync} from 'node:fs'
import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'

const ballastBytes = 1024 ** 2
/** As much again must stay free beside the ballast. Otherwise the ballast would take the space it was released for. */
const requiredBytes = 2 * ballastBytes

/**
 * A file that reserves disk space. On a full disk it is deleted, so that the journal and the reports can be written.
 * Its content is random, so that no file system can compress it.
 */
export class Ballast {
  readonly #path: string
  #isPresent: boolean

  constructor(workerDir: string) {
    this.#path = join(workerDir, 'ballast')
    this.#isPresent = statSync(this.#path, {throwIfNoEntry: false})?.size === ballastBytes
  }

  get isPresent(): boolean {
    return this.#isPresent
  }

  /** Deletes the file. Returns false if there was none: no space was released. */
  release(): boolean {
    const wasPresent = this.#isPresent
    this.#isPresent = false
    try {
      unlinkSync(this.#path)
      return wasPresent
    } catch {
      return false
    }
  }

  /** Writes the file again if enough space is free. Resolves with whether it did. A failed write leaves no file. */
  async restore(freeBytes: number): Promise<boolean> {
    if (this.#isPresent || freeBytes < requiredBytes) return false
    try {
      await writeFile(this.#path, randomBytes(ballastBytes), {mode: 0o600})
      this.#isPresent = true
    } catch {
      rmSync(this.#path, {force: true})
    }

    return this.#isPresent
  }
}
