import {rename, writeFile} from 'node:fs/promises'
import * as v from 'valibot'
import {readStateJson} from '../config/state-directory.ts'
import {fingerprint, type Ledger} from './ledger.ts'

/** What was sent to a control plane about one codebase. */
export type Uploaded = {
  /** The state of the storage at the last complete sync. Empty if there was none. */
  seen: string
  sessions: Ledger
  /** Ledgers of messages by session, in the order of their last upload. */
  messages: Map<string, Ledger>
}

const fileSchema = v.object({
  basis: v.string(),
  codebases: v.record(
    v.string(),
    v.object({seen: v.string(), sessions: v.string(), messages: v.record(v.string(), v.string())}),
  ),
})

/** Changes when sessions or messages are encoded differently. */
const formatVersion = '1'
/** For how many sessions beyond the synced ones message ledgers are kept. */
const extraSessions = 20

/**
 * What was sent, in memory and in a file, so that a restart does not send it again. It starts empty if the file belongs
 * to another control plane or to other redaction patterns.
 */
export class SyncState {
  readonly #file: string
  readonly #server: string
  #basis: string
  readonly #uploaded = new Map<string, Uploaded>()
  #isSaved = true
  #saving: Promise<void> = Promise.resolve()

  constructor(file: string, about: {server: string; patterns: readonly string[]}) {
    this.#file = file
    this.#server = about.server
    this.#basis = this.#basisOf(about.patterns)
    const stored = v.safeParse(fileSchema, readStateJson(file))
    if (!stored.success || stored.output.basis !== this.#basis) return
    for (const [id, {messages, ...uploaded}] of Object.entries(stored.output.codebases))
      this.#uploaded.set(id, {...uploaded, messages: new Map(Object.entries(messages))})
  }

  /** With other patterns nothing counts as sent any more. */
  redactWith(patterns: readonly string[]): void {
    const basis = this.#basisOf(patterns)
    if (basis === this.#basis) return
    this.#basis = basis
    this.retainOnly([])
  }

  #basisOf(patterns: readonly string[]): string {
    return fingerprint(formatVersion, this.#server, ...patterns)
  }

  of(codebaseId: string): Readonly<Uploaded> {
    return this.#uploaded.get(codebaseId) ?? {seen: '', sessions: '', messages: new Map()}
  }

  /** The storage in this state was synced completely. */
  recordSeen(codebaseId: string, seen: string): void {
    if (this.of(codebaseId).seen !== seen) this.#change(codebaseId, {seen})
  }

  recordSessions(codebaseId: string, sessions: Ledger): void {
    if (this.of(codebaseId).sessions !== sessions) this.#change(codebaseId, {sessions})
  }

  recordMessages(codebaseId: string, sessionId: string, ledger: Ledger, maxSessions: number): void {
    const messages = new Map(this.of(codebaseId).messages)
    if (messages.get(sessionId) === ledger) return
    messages.delete(sessionId)
    messages.set(sessionId, ledger)
    for (const [oldest] of [...messages].slice(0, -(maxSessions + extraSessions))) messages.delete(oldest)
    this.#change(codebaseId, {messages})
  }

  /** Forgets a codebase that the control plane has lost. */
  forget(codebaseId: string): void {
    this.#uploaded.delete(codebaseId)
    this.#isSaved = false
  }

  /** Forgets all other codebases. */
  retainOnly(codebaseIds: readonly string[]): void {
    for (const id of this.#uploaded.keys()) if (!codebaseIds.includes(id)) this.forget(id)
  }

  /** Saves without a sync to disk: what a power cut loses is sent again. Rejects as the file system does. */
  async save(): Promise<void> {
    const mine = this.#saving.catch(() => {}).then(() => this.#write())
    this.#saving = mine
    await mine
  }

  async #write(): Promise<void> {
    if (this.#isSaved) return
    this.#isSaved = true
    const codebases = Object.fromEntries(
      [...this.#uploaded].map(([id, {messages, ...uploaded}]) => [
        id,
        {...uploaded, messages: Object.fromEntries(messages)},
      ]),
    )
    const temporary = `${this.#file}.tmp`
    await writeFile(temporary, JSON.stringify({basis: this.#basis, codebases}), {mode: 0o600})
    await rename(temporary, this.#file)
  }

  #change(codebaseId: string, change: Partial<Uploaded>): void {
    this.#uploaded.set(codebaseId, {...this.of(codebaseId), ...change})
    this.#isSaved = false
  }
}
