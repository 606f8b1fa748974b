import {randomBytes} from 'node:crypto'
import {rmSync, statSync, unlinkSync} from 'node:fs'
import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'

const bytes = 1024 ** 2
/** Beside the ballast there must be as much again: else it would take the very room that it was given up for. */
const enoughBytes = 2 * bytes

/**
 * Room on the disk that is kept for when there is no other: given up, it lets journal and reports be written. It is
 * filled with what no file system can compress or leave out.
 */
export class Ballast {
  readonly #path: string
  #isThere: boolean

  constructor(workerDir: string) {
    this.#path = join(workerDir, 'ballast')
    this.#isThere = statSync(this.#path, {throwIfNoEntry: false})?.size === bytes
  }

  get isThere(): boolean {
    return this.#isThere
  }

  /** Gives the room away. False: there was none to give. */
  give(): boolean {
    const wasThere = this.#isThere
    this.#isThere = false
    try {
      unlinkSync(this.#path)
      return wasThere
    } catch {
      return false
    }
  }

  /** Takes the room again where so much is free, and says whether it did; if not, nothing of it stays. */
  async makeOf(freeBytes: number): Promise<boolean> {
    if (this.#isThere || freeBytes < enoughBytes) return false
    try {
      await writeFile(this.#path, randomBytes(bytes), {mode: 0o600})
      this.#isThere = true
    } catch {
      rmSync(this.#path, {force: true})
    }

    return this.#isThere
  }
}
