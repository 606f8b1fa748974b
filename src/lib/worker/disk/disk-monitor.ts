import {statfs} from 'node:fs/promises'
import type {Ballast} from '../../core/disk/ballast.ts'
import type {Clock} from '../../core/clock.ts'
import {hasNoRoom} from '../../core/disk-full.ts'
import {freeBytes, freeInodes} from '../../core/disk/free-space.ts'
import type {Emit} from '../../events/bus.ts'
import type {RunRetention} from './run-retention.ts'

export type DiskMonitorOptions = {
  /** A folder on the monitored disk. */
  folder: string
  /** The worker takes no task while less than this is free. 0 disables the limit. */
  readonly minimumBytes: number
  ballast: Ballast
  retention: RunRetention
  clock: Clock
  emit: Emit
  /** Pauses the worker for a reason, or resumes it (null). */
  onLow: (reason: string | null) => void
  /** Retries writes that failed on a full disk. */
  retryWrites: () => void
}

export type DiskState = {
  path: string
  free: number
  minimum: number
  /** How many files can still be created. Null if the file system has no such limit. */
  freeInodes: number | null
  isLow: boolean
}

const checkMs = 3000
const pruneMs = 5 * 60_000
/** The worker resumes at this multiple of the minimum. Without the margin it would pause and resume in quick turns. */
const resumeFactor = 1.1
/** A run creates about six files and folders, and the journal and the reports need some. */
const minimumInodes = 100
const resumeInodes = 2 * minimumInodes
const inodesPerTask = 6

/**
 * Monitors free disk space, so that active tasks can finish. When space runs low it prunes old runs and pauses the
 * worker. When the disk is full it releases the ballast.
 */
export class DiskMonitor {
  readonly #options: DiskMonitorOptions
  #free = 0
  #freeInodes: number | null = null
  #isLow = false
  /** When the disk was last found full, in monotonic ms. */
  #fullAt = -Infinity
  #isFullReported = false
  #wake = () => {}

  constructor(options: DiskMonitorOptions) {
    this.#options = options
  }

  get state(): DiskState {
    const {folder, minimumBytes} = this.#options
    return {path: folder, free: this.#free, minimum: minimumBytes, freeInodes: this.#freeInodes, isLow: this.#isLow}
  }

  /** Called when a write found the disk full. Returns false if the ballast is already released: no space is left. */
  makeRoom(): boolean {
    this.#recordFull()
    this.#wake()
    return this.#options.ballast.release()
  }

  /** Whether the disk was full at any time since `at` (monotonic ms). */
  wasFullSince(at: number): boolean {
    return this.#fullAt >= at
  }

  /** Checks once. Its consequences have taken effect when it resolves. */
  async check(): Promise<void> {
    const {ballast, retention, retryWrites} = this.#options
    await this.#measure()
    if (hasNoRoom(this.#free)) this.#recordFull()
    if (this.#isShortOfBytes() && (await retention.free(this.#resumeBytes - this.#free))) await this.#measure()
    if (this.#isShortOfInodes() && (await retention.freeTasks(this.#wantedTasks))) await this.#measure()
    // First what was not written, then the reserve.
    if (!hasNoRoom(this.#free)) retryWrites()
    if (await ballast.restore(this.#free)) await this.#measure()
    this.#decide()
    if (!hasNoRoom(this.#free) && ballast.isPresent) this.#isFullReported = false
  }

  /** Checks every few seconds, and at once after `makeRoom`, until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const {retention, clock} = this.#options
    const prune = () => retention.prune(signal)
    // A failed scan or prune is tried again later.
    const scanned = retention
      .scan(signal)
      .then(prune)
      .catch(() => {})
    let prunedAt = clock.monotonic()
    while (!signal.aborted) {
      if (clock.monotonic() - prunedAt >= pruneMs) {
        prunedAt = clock.monotonic()
        await prune().catch(() => {})
      }

      await this.check().catch(() => {}) // writers report a disk that is missing
      await this.#sleep(signal)
    }

    await scanned
  }

  get #resumeBytes(): number {
    return Math.ceil(this.#options.minimumBytes * resumeFactor)
  }

  /** How many ended tasks must be removed to have enough inodes again. */
  get #wantedTasks(): number {
    return Math.ceil((resumeInodes - (this.#freeInodes ?? resumeInodes)) / inodesPerTask)
  }

  #isShortOfBytes(): boolean {
    return this.#free < (this.#isLow ? this.#resumeBytes : this.#options.minimumBytes)
  }

  #isShortOfInodes(): boolean {
    return this.#freeInodes !== null && this.#freeInodes < (this.#isLow ? resumeInodes : minimumInodes)
  }

  async #measure(): Promise<void> {
    const found = await statfs(this.#options.folder)
    this.#free = freeBytes(found)
    this.#freeInodes = freeInodes(found)
  }

  #decide(): void {
    const {emit, onLow, folder: path, minimumBytes: minimum} = this.#options
    const isLow = this.#isShortOfBytes() || this.#isShortOfInodes()
    if (isLow === this.#isLow) return
    this.#isLow = isLow
    const missingInodes = this.#isShortOfInodes() ? this.#freeInodes : null
    emit({
      type: 'disk.changed',
      isLow,
      path,
      free: this.#free,
      freeInodes: missingInodes,
      minimum,
      wanted: this.#resumeBytes,
    })
    const reason =
      missingInodes === null ? 'the disk of the worker is nearly full' : 'the disk of the worker has no inodes left'
    onLow(isLow ? reason : null)
  }

  #recordFull(): void {
    const {clock, emit, folder} = this.#options
    this.#fullAt = clock.monotonic()
    if (this.#isFullReported) return
    this.#isFullReported = true
    const text = `The disk of ${folder} is full. Free some space there. Running tasks may fail; their reports are sent anyway.`
    emit({type: 'notice', level: 'error', text})
  }

  async #sleep(signal: AbortSignal): Promise<void> {
    const wake = new AbortController()
    this.#wake = () => wake.abort()
    signal.addEventListener('abort', this.#wake, {once: true})
    await this.#options.clock.sleep(checkMs, wake.signal)
    signal.removeEventListener('abort', this.#wake)
    this.#wake = () => {}
  }
}
