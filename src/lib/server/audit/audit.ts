import {isoTime, type Clock} from '../../core/clock.ts'
import type {CommitGroup} from '../../core/commit-group.ts'
import {messageOf} from '../../core/errors.ts'
import type {Audited} from '../../protocol/audit-schemas.ts'
import type {AuditStore} from '../store/store.ts'
import {Refusals, type Refusal} from './refusals.ts'

export type AuditEvent = {
  /** The name of the token, if there is one. */
  who?: string | null
  task_id?: string | null
  worker_id?: string | null
  /** For people. Longer ones are cut. */
  detail?: string | null
}

export type AuditOptions = {
  store: AuditStore
  commits: Pick<CommitGroup, 'write'>
  clock: Clock
  log: (line: string) => void
}

const maxDetailChars = 300

/** Records who did what. An entry is part of the commit of the change that it describes. */
export class Audit {
  readonly #options: AuditOptions
  readonly #refusals: Refusals
  /** Hashes of tokens that are known as used. There are as many as tokens. */
  readonly #used = new Set<string>()

  constructor(options: AuditOptions) {
    this.#options = options
    this.#refusals = new Refusals(options.clock)
  }

  /** Adds an entry. Called within the `commits.write` of the change. */
  record(what: Audited, {who, task_id = null, worker_id = null, detail = null}: AuditEvent, count = 1): void {
    const {store, clock} = this.#options
    const at = isoTime(clock.now())
    store.append({
      at,
      what,
      who: who || null,
      task_id,
      worker_id,
      detail: detail?.slice(0, maxDetailChars) ?? null,
      count,
    })
  }

  /** Called for each request with a token: records the first use of each token. */
  recordUse({hash, name, scope}: {hash: string; name: string; scope: string}): void {
    if (this.#used.has(hash)) return
    this.#write(() => {
      if (this.#options.store.recordUse(hash))
        this.record('token.first-used', {who: name, detail: `a token of scope ${scope}`})
      this.#used.add(hash)
    })
  }

  /** Records a refusal. Of a flood by one token against one rule there is one entry a minute, with a count. */
  recordRefusal(refusal: Refusal): void {
    const now = this.#refusals.add(refusal)
    if (now) this.#write(() => this.record('request.refused', now, now.count))
  }

  /** Writes the counts of refusals. Called now and then; `all`: also those of the current minute. */
  flush({all = false} = {}): void {
    const due = this.#refusals.due(all)
    if (due.length === 0) return
    this.#write(() => {
      for (const {count, ...refusal} of due) this.record('request.refused', refusal, count)
    })
  }

  /** A refusal is not worth a failed request: on a full disk it is not recorded. */
  #write(work: () => void): void {
    try {
      this.#options.commits.write(work)
    } catch (error) {
      this.#options.log(`the audit cannot be written: ${messageOf(error)}`)
    }
  }
}
