import {RefusedError, UnreachableError} from '../client/http.ts'
import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import type {Emit} from '../events/bus.ts'
import {StorageProblem, type SessionStorage} from '../opencode/storage/session-storage.ts'

/** A storage that cannot be read now is worth a warning once that has gone on for so long. */
const patienceMs = 5 * 60_000

/** Says how the sync fares: each thing once, until it has been well again. */
export class SyncNotices {
  readonly #emit: Emit
  readonly #clock: Clock
  #path = ''
  #problem = ''
  #busySince: number | undefined
  #isByCommands = false
  #isFailing = false

  constructor(emit: Emit, clock: Clock) {
    this.#emit = emit
    this.#clock = clock
  }

  /** OpenCode's commands are asked, or would have to be: each time seconds of processor time. */
  get isByCommands(): boolean {
    return this.#isByCommands
  }

  found(storage: SessionStorage | undefined): void {
    if (storage && storage.path !== this.#path) this.#say('info', `Using OpenCode storage at: ${storage.path}`)
    this.#path = storage?.path ?? ''
  }

  /** Something was read: from the storage itself, or by OpenCode's commands, and then why. */
  read(byCommands: string | undefined): void {
    if (byCommands !== undefined && !this.#isByCommands)
      this.#say('warn', `${byCommands} OpenCode itself is asked, every few minutes.`)
    this.#isByCommands = byCommands !== undefined
    this.readable()
  }

  /** There is nothing wrong with the storage. */
  readable(): void {
    this.#problem = ''
    this.#busySince = undefined
  }

  /** A whole sync went well. */
  synced(): void {
    this.#isFailing = false
  }

  failed(error: unknown): void {
    if (error instanceof StorageProblem) return this.#complain(error)
    // That nothing answers, or that the token is wrong, is said already.
    const isKnown =
      (error instanceof UnreachableError && error.code === 'SERVER_UNREACHABLE') ||
      (error instanceof RefusedError && error.status === 401)
    this.#say(this.#isFailing || isKnown ? 'debug' : 'warn', `Sessions are not synced: ${messageOf(error)}`)
    this.#isFailing = true
  }

  unsaved(error: unknown): void {
    this.#say('warn', `What was synced is not written down, and is sent again after a restart: ${messageOf(error)}`)
  }

  #complain(problem: StorageProblem): void {
    const text = [problem.message, ...problem.suggestions].join(' ')
    const now = this.#clock.monotonic()
    this.#isByCommands ||= problem.kind === 'unknown'
    this.#busySince = problem.kind === 'busy' ? (this.#busySince ?? now) : undefined
    if (this.#busySince !== undefined && now - this.#busySince < patienceMs) return
    if (text !== this.#problem) this.#say('warn', text)
    this.#problem = text
  }

  #say(level: 'debug' | 'info' | 'warn', text: string): void {
    this.#emit({type: 'notice', level, text})
  }
}
