import type {Change, Decision, NewAuditEntry, Numbers, RecordChange} from './decision.ts'
import type {StateEvent} from './events.ts'
import {isoTime} from '../../core/clock.ts'
import {idOf, indexes, type Found, type IndexName, type Kind, type PendingTask, type Records} from './records.ts'
import {isBefore} from './queues.ts'
import type {State} from './state.ts'
import {updatedRecord} from './updated-record.ts'

/** What a request does. A pure function: it reads and writes the draft only. */
export type Rule<Request, Answer> = (draft: Draft, request: Request) => Answer

/** Lets a rule decide about a request. Throws what the rule throws; nothing has changed then. */
export function decide<Request, Answer>(state: State, rule: Rule<Request, Answer>, request: Request): Decision<Answer> {
  const draft = new Draft(state)
  const answer = rule(draft, request)
  return draft.decision(answer)
}

type AnyChange = RecordChange & {record?: Records[Kind]}
const maxDetailChars = 300

/** The state as a rule sees it: what was there before, with the rule's own changes. */
export class Draft implements State {
  readonly now: number
  readonly time: number
  readonly startedAt: number
  readonly policy: State['policy']
  readonly #base: State
  readonly #records = new Map<Kind, Map<string, AnyChange>>()
  readonly #others: Change[] = []
  readonly #events: StateEvent[] = []
  /** Codebases with changed tasks. */
  readonly #queued = new Set<string>()
  #created = 0
  #timestamp: string | undefined

  constructor(base: State) {
    this.#base = base
    this.now = base.now
    this.time = base.time
    this.startedAt = base.startedAt
    this.policy = base.policy
  }

  /** The time of the wire, as text. */
  get timestamp(): string {
    return (this.#timestamp ??= isoTime(this.now))
  }

  get<K extends Kind>(kind: K, id: string): Readonly<Records[K]> | undefined {
    const change = this.#records.get(kind)?.get(id)
    return (change ? change.record : this.#base.get(kind, id)) as Records[K] | undefined
  }

  find<I extends IndexName>(index: I, key: string): readonly Readonly<Found<I>>[] {
    const found = [...this.#base.find(index, key)]
    const {kind, keys} = indexes[index] as {kind: Kind; keys: (record: Records[Kind]) => readonly string[]}
    const changes = this.#records.get(kind)
    return changes
      ? withChanges(found, changes, {id: idOf[kind] as IdOf, has: (record) => keys(record).includes(key)})
      : found
  }

  count(index: IndexName, key: string): number {
    return this.#base.count(index, key) + this.#added(index, key)
  }

  queue(codebaseId: string): Iterable<PendingTask> {
    const queue = this.#base.queue(codebaseId)
    return this.#queued.has(codebaseId) ? this.#changedQueue(codebaseId, queue) : queue
  }

  hasQueue(codebaseId: string): boolean {
    if (!this.#queued.has(codebaseId)) return this.#base.hasQueue(codebaseId)
    for (const _ of this.queue(codebaseId)) return true
    return false
  }

  get pending(): number {
    return this.#base.pending
  }

  get lastNumber(): number {
    return this.#base.lastNumber
  }

  /** The number of the next task that the rule creates. */
  nextNumber(): number {
    return this.lastNumber + (this.#created += 1)
  }

  put<K extends Kind>(kind: K, id: string, record: Records[K]): void {
    this.#change(kind, id, {do: 'put', kind, id, record} as unknown as AnyChange)
  }

  /** Sets these fields of a record, and adds `by` to others. Does nothing if there is no such record. */
  update<K extends Kind>(kind: K, id: string, fields: Partial<Records[K]>, by: Numbers<K> = {}): void {
    const earlier = this.#records.get(kind)?.get(id)
    const former = this.get(kind, id)
    if (!former) return
    const record = updatedRecord<Records[K]>(former, fields, by)
    if (earlier?.do === 'put') return this.put(kind, id, record)
    const [set, sums] = earlier?.do === 'update' ? [earlier.fields, sum(earlier.by as Numbers<K>, by)] : [{}, by]
    const change = {do: 'update', kind, id, record, fields: {...set, ...fields}, by: sums}
    this.#change(kind, id, change as unknown as AnyChange)
  }

  remove(kind: Kind, id: string): void {
    if (this.get(kind, id)) this.#change(kind, id, {do: 'remove', kind, id} as AnyChange)
  }

  /** Adds a change of something that no rule reads. */
  write(change: Exclude<Change, RecordChange>): void {
    this.#others.push(change)
  }

  /** Adds an entry of the audit. It is stored with the change that it describes, or not at all. */
  audit(what: NewAuditEntry['what'], {who, task_id, worker_id, detail, count = 1}: AuditFacts): void {
    const text = detail?.slice(0, maxDetailChars) ?? null
    const entry = {at: this.timestamp, what, who: who || null, task_id: task_id ?? null, worker_id: worker_id ?? null}
    this.write({do: 'audit', entry: {...entry, detail: text, count}})
  }

  emit(event: StateEvent): void {
    this.#events.push(event)
  }

  decision<Answer>(answer: Answer): Decision<Answer> {
    const records = [...this.#records.values()].flatMap((changes) => [...changes.values()])
    return {answer, changes: [...records, ...this.#others], events: this.#events}
  }

  #change(kind: Kind, id: string, change: AnyChange): void {
    const changes = this.#records.get(kind) ?? new Map<string, AnyChange>()
    this.#records.set(kind, changes.set(id, change))
    if (kind === 'task' && change.record) this.#queued.add((change.record as Records['task']).codebase_id)
  }

  *#changedQueue(codebaseId: string, queue: Iterable<PendingTask>): Generator<PendingTask> {
    const changes = this.#records.get('task')
    const added = [...(changes?.values() ?? [])]
      .flatMap(({record}) => (record as Records['task'] | undefined) ?? [])
      .filter((task) => task.codebase_id === codebaseId && task.status === 'pending')
      .sort((a, b) => (isBefore(a, b) ? -1 : 1))
    for (const task of queue) {
      if (changes?.has(task.id)) continue
      while (added[0] && isBefore(added[0], task)) yield added.shift() as PendingTask
      yield task
    }

    yield* added
  }

  /** How many more records the rule's own changes have put into an index. */
  #added(name: IndexName, key: string): number {
    const {kind, keys} = indexes[name] as {kind: Kind; keys: (record: Records[Kind]) => readonly string[]}
    const changes = this.#records.get(kind)
    let added = 0
    if (!changes) return added
    for (const [id, {record}] of changes) {
      const former = this.#base.get(kind, id)
      if (record && keys(record).includes(key)) added += 1
      if (former && keys(former).includes(key)) added -= 1
    }
    return added
  }
}

type IdOf = (record: Readonly<Records[Kind]>) => string
type Wanted = {id: IdOf; has: (record: Records[Kind]) => boolean}

/** What an index finds after the rule's own changes. */
function withChanges<R>(found: readonly R[], changes: ReadonlyMap<string, AnyChange>, {id, has}: Wanted): R[] {
  const seen = new Set<string>()
  const result: R[] = []
  for (const record of found) {
    const key = id(record as Records[Kind])
    const change = changes.get(key)
    if (change) seen.add(key)
    if (!change) result.push(record)
    else if (change.record && has(change.record)) result.push(change.record as R)
  }

  for (const [key, {record}] of changes) if (record && !seen.has(key) && has(record)) result.push(record as R)
  return result
}

type AuditFacts = Partial<Omit<NewAuditEntry, 'at' | 'what'>>

function sum<K extends Kind>(a: Numbers<K>, b: Numbers<K>): Numbers<K> {
  const total: Record<string, number> = {...(a as Record<string, number>)}
  for (const [field, more] of Object.entries(b as Record<string, number>)) total[field] = (total[field] ?? 0) + more
  return total as Numbers<K>
}
