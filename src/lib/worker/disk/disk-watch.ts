import {statfs} from 'node:fs/promises'
import type {Clock} from '../../core/clock.ts'
import {hasNoRoom} from '../../core/disk-full.ts'
import type {Emit} from '../../events/bus.ts'
import type {Ballast} from './ballast.ts'
import type {KeptRuns} from './kept-runs.ts'

export type DiskWatchOptions = {
  /** A folder on the disk that is watched. */
  folder: string
  /** Below so much no task is taken; 0: whatever is free, tasks are taken. */
  readonly minimumBytes: number
  ballast: Ballast
  kept: KeptRuns
  clock: Clock
  emit: Emit
  /** Tasks are to be taken, or not. */
  onLow: (isLow: boolean) => void
  /** There may be room again for what found none. */
  catchUp: () => void
}

export type DiskState = {path: string; free: number; minimum: number; isLow: boolean}

const lookMs = 3000
const pruneMs = 5 * 60_000
/** So much more than the least must be free before tasks are taken again, or they would be taken and not by turns. */
const hysteresis = 1.1

/** Sees to it that what is in hand can be brought to its end: takes no more in time, makes room, keeps some in reserve. */
export class DiskWatch {
  readonly #options: DiskWatchOptions
  #free = 0
  #isLow = false
  /** When the disk was last seen full, on the monotonic clock. */
  #fullAt = -Infinity
  #isFullTold = false
  #wake = () => {}

  constructor(options: DiskWatchOptions) {
    this.#options = options
  }

  get state(): DiskState {
    const {folder, minimumBytes} = this.#options
    return {path: folder, free: this.#free, minimum: minimumBytes, isLow: this.#isLow}
  }

  /** Something found no room: the ballast is given away. False: it was gone, so there is no more to be had. */
  makeRoom(): boolean {
    this.#sawFull()
    this.#wake()
    return this.#options.ballast.give()
  }

  /** Whether the disk was full at any time since then (monotonic ms). */
  wasFullSince(at: number): boolean {
    return this.#fullAt >= at
  }

  /** Looks once; what follows from it has happened when this resolves. */
  async look(): Promise<void> {
    const {ballast, kept, catchUp} = this.#options
    await this.#measure()
    if (hasNoRoom(this.#free)) this.#sawFull()
    if (this.#isShort() && (await kept.free(this.#wanted - this.#free))) await this.#measure()
    if (await ballast.makeOf(this.#free)) await this.#measure()
    this.#decide()
    if (hasNoRoom(this.#free)) return
    if (ballast.isThere) this.#isFullTold = false
    catchUp()
  }

  /** Looks every few seconds, and at once when something found no room, until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const {kept, clock} = this.#options
    const prune = () => kept.prune(signal)
    // What cannot be looked at or removed now is tried again.
    const scanned = kept
      .scan(signal)
      .then(prune)
      .catch(() => {})
    let prunedAt = clock.monotonic()
    while (!signal.aborted) {
      if (clock.monotonic() - prunedAt >= pruneMs) {
        prunedAt = clock.monotonic()
        await prune().catch(() => {})
      }

      await this.look().catch(() => {}) // a disk that is not there is told of by whoever writes to it
      await this.#rest(signal)
    }

    await scanned
  }

  get #wanted(): number {
    return Math.ceil(this.#options.minimumBytes * hysteresis)
  }

  #isShort(): boolean {
    return this.#free < (this.#isLow ? this.#wanted : this.#options.minimumBytes)
  }

  async #measure(): Promise<void> {
    const {bavail, bsize} = await statfs(this.#options.folder)
    this.#free = bavail * bsize
  }

  #decide(): void {
    const {emit, onLow, folder: path, minimumBytes: minimum} = this.#options
    const isLow = this.#isShort()
    if (isLow === this.#isLow) return
    this.#isLow = isLow
    emit({type: 'disk.changed', isLow, path, free: this.#free, minimum, wanted: this.#wanted})
    onLow(isLow)
  }

  #sawFull(): void {
    const {clock, emit, folder} = this.#options
    this.#fullAt = clock.monotonic()
    if (this.#isFullTold) return
    this.#isFullTold = true
    const text = `The disk of ${folder} is full: make room there. What runs may fail; reports are sent all the same`
    emit({type: 'notice', level: 'error', text})
  }

  async #rest(signal: AbortSignal): Promise<void> {
    const wake = new AbortController()
    this.#wake = () => wake.abort()
    signal.addEventListener('abort', this.#wake, {once: true})
    await this.#options.clock.sleep(lookMs, wake.signal)
    signal.removeEventListener('abort', this.#wake)
    this.#wake = () => {}
  }
}
