import type {Clock} from '../../../src/lib/core/clock.ts'
import {decide, type Rule} from '../../../src/lib/server/state/draft.ts'
import type {Change, Decision, NewAuditEntry, NewOutput} from '../../../src/lib/server/state/decision.ts'
import type {StateEvent} from '../../../src/lib/server/state/events.ts'
import {LiveState} from '../../../src/lib/server/state/live-state.ts'
import type {StoredInput, StoredRequest, StoredTask} from '../../../src/lib/server/state/records.ts'
import type {Policy} from '../../../src/lib/server/state/state.ts'

export const policy: Policy = {
  leaseMs: 60_000,
  offerMs: 10_000,
  confirmMs: 10_000,
  silentWorkerMs: 900_000,
  lostTimeoutMs: 86_400_000,
  unstoppableMs: 30_000,
  maxPending: 1000,
  parallelTasks: new Map(),
}

/** The state of a control plane in memory, without a database. Time passes only when it is told to. */
export class MemoryEngine {
  readonly state: LiveState
  readonly tasks = new Map<string, StoredTask>()
  readonly requests = new Map<string, StoredRequest>()
  readonly inputs = new Map<string, StoredInput>()
  readonly output: NewOutput[] = []
  readonly audit: NewAuditEntry[] = []
  readonly events: StateEvent[] = []
  time = 1000

  constructor(more: Partial<Policy> = {}) {
    const clock: Pick<Clock, 'now' | 'monotonic'> = {
      now: () => Date.UTC(2026, 0, 1) + this.time,
      monotonic: () => this.time,
    }
    this.state = new LiveState({...policy, ...more}, clock, {
      task: (id) => this.tasks.get(id),
      request: (key) => this.requests.get(key),
      input: (key) => this.inputs.get(key),
    })
  }

  apply({changes, events}: Decision): void {
    for (const change of changes) this.#apply(change)
    this.state.apply(changes)
    this.events.push(...events)
  }

  /** Decides and applies. Throws what the rule throws. */
  run<Request, Answer>(rule: Rule<Request, Answer>, request: Request): Answer {
    const decision = decide(this.state, rule, request)
    this.apply(decision)
    return decision.answer
  }

  task(id: string): StoredTask {
    const task = this.tasks.get(id)
    if (!task) throw new Error(`no task ${id}`)
    return task
  }

  #apply(change: Change): void {
    if (change.do === 'append-output') this.output.push(change.output)
    else if (change.do === 'audit') this.audit.push(change.entry)
    else if ('kind' in change && change.kind === 'request' && change.do !== 'remove')
      this.requests.set(change.id, change.record)
    else if ('kind' in change && change.kind === 'input' && change.do !== 'remove')
      this.inputs.set(change.id, change.record)
    else if ('kind' in change && change.kind === 'task') {
      if (change.do === 'remove') this.tasks.delete(change.id)
      else this.tasks.set(change.id, change.record)
    }
  }
}
