import type {Precondition} from './decision.ts'
import {
  idOf,
  indexes as allIndexes,
  type Found,
  type IndexName,
  type Kind,
  type PendingTask,
  type Records,
} from './records.ts'
import type {State} from './state.ts'

type FoundRecords = {index: IndexName; key: string; records: readonly Readonly<Records[Kind]>[]}

/** Reads a state, and remembers what was read. It is called for all that rules do, so it keeps references only. */
export class Reads {
  readonly #base: State
  readonly #records = new Map<Kind, Map<string, WatchedRecord>>()
  readonly #found: FoundRecords[] = []
  readonly #queues = new Map<string, ReadQueue>()
  readonly #counted: Precondition[] = []

  constructor(base: State) {
    this.#base = base
  }

  /** A record whose fields become preconditions when they are read. */
  record<K extends Kind>(kind: K, id: string): Readonly<Records[K]> | undefined {
    return this.#read(kind, id).proxy as Readonly<Records[K]> | undefined
  }

  /** The same record after the rule's own change. What the rule itself has set is no precondition. */
  updated<K extends Kind>(kind: K, id: string, record: Records[K], {fields}: {fields: object}): Records[K] {
    return new Proxy(record, this.#read(kind, id).without(fields)) as Records[K]
  }

  find<I extends IndexName>(index: I, key: string): readonly Readonly<Found<I>>[] {
    const records = [...this.#base.find(index, key)]
    this.#found.push({index, key, records})
    return records
  }

  count(index: IndexName, key: string): number {
    const count = this.#base.count(index, key)
    this.#counted.push({read: 'count', index, key, count})
    return count
  }

  isBelow(indexes: readonly IndexName[], key: string, limit: number): boolean {
    const holds = this.#base.isBelow(indexes, key, limit)
    this.#counted.push({read: 'below', indexes, key, limit, holds})
    return holds
  }

  lastNumber(): number {
    const value = this.#base.lastNumber
    this.#counted.push({read: 'last-number', value})
    return value
  }

  *queue(codebaseId: string): Generator<PendingTask> {
    const read = this.#queueOf(codebaseId)
    let n = 0
    for (const task of this.#base.queue(codebaseId)) {
      if (n === read.first.length) read.first.push(task.id)
      n += 1
      yield task
    }

    read.isAll = true
  }

  hasQueue(codebaseId: string): boolean {
    const read = this.#queueOf(codebaseId)
    for (const {id} of this.#base.queue(codebaseId)) {
      if (read.first.length === 0) read.first.push(id)
      return true
    }

    read.isAll = true
    return false
  }

  get preconditions(): Precondition[] {
    const all = [...this.#counted, ...this.#found.map(idsOf)]
    for (const [kind, records] of this.#records)
      for (const [id, {record, fields}] of records) {
        all.push({read: 'record', kind, id, value: record !== undefined})
        for (const field of fields) all.push({read: 'record', kind, id, field, value: fieldOf(record, field)})
      }
    for (const [codebaseId, {first, isAll}] of this.#queues) all.push({read: 'queue', codebaseId, first, isAll})
    return all
  }

  #read(kind: Kind, id: string): WatchedRecord {
    let records = this.#records.get(kind)
    if (!records) this.#records.set(kind, (records = new Map()))
    let read = records.get(id)
    if (!read) records.set(id, (read = new WatchedRecord(this.#base.get(kind, id))))
    return read
  }

  #queueOf(codebaseId: string): ReadQueue {
    let read = this.#queues.get(codebaseId)
    if (!read) this.#queues.set(codebaseId, (read = {first: [], isAll: false}))
    return read
  }
}

/** The ids of the first tasks of a queue. `isAll`: it has no others. */
type ReadQueue = {first: string[]; isAll: boolean}

/** A record, and which of its fields were read. It is the handler of its own proxy. */
class WatchedRecord implements ProxyHandler<object> {
  readonly record: object | undefined
  readonly fields: Set<string>
  readonly proxy: object | undefined
  readonly #own: object | undefined

  constructor(record: object | undefined, fields = new Set<string>(), own?: object) {
    this.record = record
    this.fields = fields
    this.#own = own
    this.proxy = record && new Proxy(record, this)
  }

  get(target: object, field: string | symbol): unknown {
    if (typeof field === 'string' && !(this.#own && Object.hasOwn(this.#own, field))) this.fields.add(field)
    return (target as Record<string | symbol, unknown>)[field]
  }

  /** A handler that records the same fields, without these. */
  without(own: object): WatchedRecord {
    return new WatchedRecord(undefined, this.fields, own)
  }
}

function idsOf({index, key, records}: FoundRecords): Precondition {
  const id = idOf[allIndexes[index].kind] as (record: Readonly<Records[Kind]>) => string
  return {read: 'index', index, key, ids: records.map((record) => id(record))}
}

export const fieldOf = (record: object | undefined, field: string): unknown =>
  (record as Record<string, unknown> | undefined)?.[field]
