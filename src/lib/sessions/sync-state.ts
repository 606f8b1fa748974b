import {rename, writeFile} from 'node:fs/promises'
import * as v from 'valibot'
import {readStateJson} from '../config/state-directory.ts'
import {fingerprint, type Ledger} from './ledger.ts'

/** What a server was told of one codebase. */
export type Told = {
  /** The state of the storage that was gone through to its end; empty: none was. */
  seen: string
  sessions: Ledger
  /** Of the sessions whose messages were told: the one told last is the last. */
  messages: Map<string, Ledger>
}

const fileSchema = v.object({
  basis: v.string(),
  codebases: v.record(
    v.string(),
    v.object({seen: v.string(), sessions: v.string(), messages: v.record(v.string(), v.string())}),
  ),
})

/** Another one when the same session or message is told in another way than before. */
const form = '1'
/** Sessions whose messages are remembered as told, beside those that are synced anyway. */
const mostSessions = 20

/**
 * What was told, in memory and in a file, so that a restart does not tell it again. It is of no use, and then empty,
 * when it was of another server, or when texts were redacted in another way.
 */
export class SyncState {
  readonly #file: string
  readonly #server: string
  #basis: string
  readonly #told = new Map<string, Told>()
  #isSaved = true
  #saving: Promise<void> = Promise.resolve()

  constructor(file: string, about: {server: string; patterns: readonly string[]}) {
    this.#file = file
    this.#server = about.server
    this.#basis = this.#basisOf(about.patterns)
    const kept = v.safeParse(fileSchema, readStateJson(file))
    if (!kept.success || kept.output.basis !== this.#basis) return
    for (const [id, {messages, ...told}] of Object.entries(kept.output.codebases))
      this.#told.set(id, {...told, messages: new Map(Object.entries(messages))})
  }

  /** From now on texts are redacted so: told in another way, nothing of them counts as told. */
  redactWith(patterns: readonly string[]): void {
    const basis = this.#basisOf(patterns)
    if (basis === this.#basis) return
    this.#basis = basis
    this.keepOnly([])
  }

  #basisOf(patterns: readonly string[]): string {
    return fingerprint(form, this.#server, ...patterns)
  }

  of(codebaseId: string): Readonly<Told> {
    return this.#told.get(codebaseId) ?? {seen: '', sessions: '', messages: new Map()}
  }

  /** The storage in this state was gone through to its end. */
  saw(codebaseId: string, seen: string): void {
    if (this.of(codebaseId).seen !== seen) this.#change(codebaseId, {seen})
  }

  toldSessions(codebaseId: string, sessions: Ledger): void {
    if (this.of(codebaseId).sessions !== sessions) this.#change(codebaseId, {sessions})
  }

  toldMessages(codebaseId: string, sessionId: string, ledger: Ledger, most: number): void {
    const messages = new Map(this.of(codebaseId).messages)
    if (messages.get(sessionId) === ledger) return
    messages.delete(sessionId)
    messages.set(sessionId, ledger)
    for (const [oldest] of [...messages].slice(0, -(most + mostSessions))) messages.delete(oldest)
    this.#change(codebaseId, {messages})
  }

  /** The server has lost it. */
  forget(codebaseId: string): void {
    this.#told.delete(codebaseId)
    this.#isSaved = false
  }

  /** What was told of other codebases is forgotten. */
  keepOnly(codebaseIds: readonly string[]): void {
    for (const id of this.#told.keys()) if (!codebaseIds.includes(id)) this.forget(id)
  }

  /** Without waiting for the disk: what a power cut takes is told once more. Rejects as the file system does. */
  async save(): Promise<void> {
    const mine = this.#saving.catch(() => {}).then(() => this.#write())
    this.#saving = mine
    await mine
  }

  async #write(): Promise<void> {
    if (this.#isSaved) return
    this.#isSaved = true
    const codebases = Object.fromEntries(
      [...this.#told].map(([id, {messages, ...told}]) => [id, {...told, messages: Object.fromEntries(messages)}]),
    )
    const temporary = `${this.#file}.tmp`
    await writeFile(temporary, JSON.stringify({basis: this.#basis, codebases}), {mode: 0o600})
    await rename(temporary, this.#file)
  }

  #change(codebaseId: string, change: Partial<Told>): void {
    this.#told.set(codebaseId, {...this.of(codebaseId), ...change})
    this.#isSaved = false
  }
}
