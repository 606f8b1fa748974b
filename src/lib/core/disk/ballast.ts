import {randomBytes} from 'node:crypto'
import {rmSync, statSync, unlinkSync} from 'node:fs'
import {writeFile} from 'node:fs/promises'

/**
 * A file that reserves disk space. On a full disk it is deleted, so that what must be written can be written. Its content
 * is random, so that no file system can compress it.
 */
export class Ballast {
  readonly #path: string
  readonly #bytes: number
  #isPresent: boolean

  constructor(path: string, bytes: number) {
    this.#path = path
    this.#bytes = bytes
    this.#isPresent = statSync(path, {throwIfNoEntry: false})?.size === bytes
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

  /**
   * Writes the file again if enough space is free: as much again must stay free beside it, or it would take the space that
   * it was released for. Resolves with whether it did. A failed write leaves no file.
   */
  async restore(freeBytes: number): Promise<boolean> {
    if (this.#isPresent || freeBytes < 2 * this.#bytes) return false
    try {
      await writeFile(this.#path, randomBytes(this.#bytes), {mode: 0o600})
      this.#isPresent = true
    } catch {
      rmSync(this.#path, {force: true})
    }

    return this.#isPresent
  }
}
