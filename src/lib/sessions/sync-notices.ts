import {isSilence, RefusedError} from '../client/http.ts'
import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import type {Emit} from '../events/bus.ts'
import {StorageProblem, type SessionStorage} from '../opencode/storage/session-storage.ts'

/** A busy storage is reported after this time. */
const busyMs = 5 * 60_000

/** Logs problems of the sync, each once until it is solved. */
export class SyncNotices {
  readonly #emit: Emit
  readonly #clock: Clock
  #path = ''
  #problem = ''
  #busySince: number | undefined
  #usesCommands = false
  #isFailing = false

  constructor(emit: Emit, clock: Clock) {
    this.#emit = emit
    this.#clock = clock
  }

  /** Whether OpenCode's commands are needed to read sessions. Each use costs seconds of CPU time. */
  get usesCommands(): boolean {
    return this.#usesCommands
  }

  onFound(storage: SessionStorage | undefined): void {
    if (storage && storage.path !== this.#path) this.#log('info', `Using OpenCode storage at: ${storage.path}`)
    this.#path = storage?.path ?? ''
  }

  /** Called after each read. `byCommands`: the reason why OpenCode's commands were used. */
  onRead(byCommands: string | undefined): void {
    if (byCommands !== undefined && !this.#usesCommands)
      this.#log('warn', `${byCommands} Sessions are read with OpenCode's commands instead, every few minutes.`)
    this.#usesCommands = byCommands !== undefined
    this.onReadable()
  }

  /** The storage has no problem. */
  onReadable(): void {
    this.#problem = ''
    this.#busySince = undefined
  }

  /** A complete sync has succeeded. */
  onSynced(): void {
    this.#isFailing = false
  }

  onFailed(error: unknown): void {
    if (error instanceof StorageProblem) return this.#report(error)
    // An unreachable server and a wrong token are reported elsewhere.
    const isKnown = isSilence(error) || (error instanceof RefusedError && error.status === 401)
    this.#log(this.#isFailing || isKnown ? 'debug' : 'warn', `Sessions are not synced: ${messageOf(error)}`)
    this.#isFailing = true
  }

  onUnsaved(error: unknown): void {
    this.#log(
      'warn',
      `The sync state could not be saved. Sessions will be sent again after a restart: ${messageOf(error)}`,
    )
  }

  #report(problem: StorageProblem): void {
    const text = [problem.message, ...problem.suggestions].join(' ')
    const now = this.#clock.monotonic()
    this.#usesCommands ||= problem.kind === 'unknown'
    this.#busySince = problem.kind === 'busy' ? (this.#busySince ?? now) : undefined
    if (this.#busySince !== undefined && now - this.#busySince < busyMs) return
    if (text !== this.#problem) this.#log('warn', text)
    this.#problem = text
  }

  #log(level: 'debug' | 'info' | 'warn', text: string): void {
    this.#emit({type: 'notice', level, text})
  }
}
