import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import {CountedRefusals, type CountedRefusal, type Refusal} from './limits/counted-refusals.ts'
import type {Plane} from './plane/plane.ts'
import {recordTokenUse} from './rules/registry/binding.ts'
import type {Rule} from './state/draft.ts'

/** How often counts are looked at while there are some. */
const flushMs = 5000

type Options = {plane: Plane; clock: Clock; log: (line: string) => void}

const auditRefusals: Rule<readonly CountedRefusal[], void> = (draft, refusals) => {
  for (const {count, who, worker_id = null, detail} of refusals)
    draft.audit('request.refused', {who, worker_id, detail, count})
}

/** Records in the audit what no other change belongs to: refused requests, counted, and the first use of tokens. */
export class RefusalAudit {
  readonly #options: Options
  readonly #refusals: CountedRefusals
  #timer: NodeJS.Timeout | undefined

  constructor(options: Options) {
    this.#options = options
    this.#refusals = new CountedRefusals(options.clock)
  }

  /** Called for each request with a token: records the first use of each token. */
  recordUse({hash, name, scope}: {hash: string; name: string; scope: string}): void {
    const {plane} = this.#options
    if (plane.state.get('usedToken', hash)) return
    this.#write(plane.run(recordTokenUse, {hash, name, scope}))
  }

  /** Records a refusal. Of a flood by one token against one rule there is one entry a minute, with a count. */
  record(refusal: Refusal): void {
    const now = this.#refusals.add(refusal)
    if (now) this.#write(this.#options.plane.run(auditRefusals, [now]))
    this.#timer ??= setTimeout(() => this.#flushLater(), flushMs)
  }

  /** Writes the counts of refusals that are due. `all`: also those of the current minute. */
  flush({all = false} = {}): void {
    const due = this.#refusals.due(all)
    if (due.length > 0) this.#write(this.#options.plane.run(auditRefusals, due))
  }

  close(): void {
    clearTimeout(this.#timer)
    this.flush({all: true})
  }

  /** Flushes again until no count is left, so that an idle control plane sleeps. */
  #flushLater(): void {
    this.flush()
    this.#timer = this.#refusals.isEmpty ? undefined : setTimeout(() => this.#flushLater(), flushMs)
  }

  /** A refusal is not worth a failed request: on a full disk it is not recorded. */
  #write(written: Promise<void>): void {
    written.catch((error: unknown) => this.#options.log(`the audit cannot be written: ${messageOf(error)}`))
  }
}

/** The tokens file was read again. */
export const auditTokens: Rule<{detail: string}, void> = (draft, {detail}) => draft.audit('tokens.read', {detail})
