import {statfsSync} from 'node:fs'
import {dirname} from 'node:path'
import {Ballast} from '../../core/disk/ballast.ts'
import {freeBytes} from '../../core/disk/free-space.ts'
import type {Clock} from '../../core/clock.ts'
import {formatBytes} from '../../core/text/format-bytes.ts'

export type DiskGuardOptions = {
  /** The database file. `:memory:` is never full. */
  database: string
  /** Bytes inside the database that it can use again. */
  reusableBytes: () => number
  /** Shortens the log of the database, which otherwise keeps its largest size. */
  shortenLog: () => void
  /** How long the disk must be full before output is dropped, in ms. Until then the workers keep what finds no room. */
  patienceMs: number
  clock: Clock
  log: (line: string) => void
}

const mib = 1024 ** 2
/** Kept free for changes of state: a tenth of a small disk, and never more than this. */
const maxReserveBytes = 64 * mib
const reserveShare = 0.1
/** Output written between two looks at the disk. */
const unseenBytes = mib
const checkMs = 10_000
const fullCheckMs = 1000
/** The disk has room again at this multiple of the reserve. Without the distance it would be full and not in turns. */
const roomFactor = 2.5

/**
 * Keeps a reserve on the disk of the database, in which changes of state succeed while output finds no room: a task that
 * prints without end must not keep people from cancelling it. When even the reserve is used up, by others, a ballast file
 * is deleted.
 */
export class DiskGuard {
  readonly #options: DiskGuardOptions
  readonly #folder: string
  readonly #ballast: Ballast | undefined
  #reserve = 0
  #free = Number.POSITIVE_INFINITY
  #isFull = false
  /** Since when, in monotonic ms. */
  #fullSince = 0
  #written = 0
  #timer: NodeJS.Timeout | undefined
  /** Called when the disk has become full. */
  onFull = () => {}

  constructor(options: DiskGuardOptions) {
    this.#options = options
    this.#folder = dirname(options.database)
    const isInMemory = options.database === ':memory:'
    this.#ballast = isInMemory ? undefined : new Ballast(`${options.database}.ballast`, 4 * mib)
    if (isInMemory) return
    this.check()
    this.#watchLater()
  }

  /** Whether output finds no room. Changes of state still do. */
  get isFull(): boolean {
    return this.#isFull
  }

  /** Whether old output must make room. A disk that is full for moments only costs no output. */
  get mustDrop(): boolean {
    const {clock, patienceMs, reusableBytes} = this.#options
    if (!this.#isFull || clock.monotonic() - this.#fullSince < patienceMs) return false
    return this.#free + reusableBytes() < this.#reserve * roomFactor
  }

  /** Free bytes on the disk, and how many of them are kept for changes of state. */
  get state(): {isFull: boolean; free: number; reserve: number} {
    return {isFull: this.#isFull, free: this.#free, reserve: this.#reserve}
  }

  /** Called with the size of output that is about to be written. */
  expect(bytes: number): void {
    this.#written += bytes
    if (this.#written >= unseenBytes || this.#isFull) this.check()
  }

  /** Looks at the disk now. */
  check(): void {
    if (!this.#ballast) return
    this.#written = 0
    try {
      const found = statfsSync(this.#folder)
      this.#free = freeBytes(found)
      this.#reserve = Math.min(maxReserveBytes, found.blocks * found.bsize * reserveShare)
    } catch {
      return // the write itself reports what is wrong
    }

    if (this.#free < this.#reserve / 4 && this.#ballast.release())
      this.#options.log('the disk of the database is full: its ballast was deleted')
    else if (this.#free > 2 * this.#reserve) void this.#ballast.restore(this.#free - this.#reserve)
    this.#decide()
  }

  /** A full disk is looked at more often: there may be space again, or less. */
  #watchLater(): void {
    const isTight = this.#isFull || this.#free < 2 * this.#reserve
    this.#timer = setTimeout(() => this.#watch(), isTight ? fullCheckMs : checkMs).unref()
  }

  #watch(): void {
    try {
      if (this.#isFull && this.#free < this.#reserve) this.#options.shortenLog()
    } catch {
      // The log needs space to be written back. It is tried again.
    }

    this.check()
    this.#watchLater()
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  /** Space inside the database helps, but its log needs some on the disk too. */
  #decide(): void {
    const {reusableBytes, database, log} = this.#options
    const wanted = this.#reserve * (this.#isFull ? roomFactor : 1)
    const hasRoom = this.#free >= wanted || (this.#free + reusableBytes() >= wanted && this.#free >= this.#reserve / 4)
    const isFull = !hasRoom
    if (isFull === this.#isFull) return
    this.#isFull = isFull
    if (isFull) {
      this.#fullSince = this.#options.clock.monotonic()
      this.onFull()
    }

    log(
      isFull
        ? `the disk of ${database} is full: ${formatBytes(this.#free)} are free, ${formatBytes(this.#reserve)} are kept for changes of state. If it stays so, old output is dropped. Free some space there`
        : `the disk of ${database} has space again: ${formatBytes(this.#free)} are free`,
    )
  }
}
