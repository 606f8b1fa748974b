import {indexes, type Found, type IndexName, type Kind, type Records} from './records.ts'

type AnyRecord = Records[Kind]
type AnyIndex = {name: IndexName; keys: (record: AnyRecord) => readonly string[]}

const byKind = Map.groupBy(
  Object.entries(indexes).map(([name, {kind, keys}]) => ({name, kind, keys}) as unknown as AnyIndex & {kind: Kind}),
  ({kind}) => kind,
)

/** Records in memory with their indexes. In an index, records are in the order in which they came. */
export class Memory {
  readonly #records = new Map<Kind, Map<string, AnyRecord>>()
  readonly #found = new Map<IndexName, Map<string, Map<string, AnyRecord>>>()

  get<K extends Kind>(kind: K, id: string): Records[K] | undefined {
    return this.#records.get(kind)?.get(id) as Records[K] | undefined
  }

  put<K extends Kind>(kind: K, id: string, record: Records[K]): void {
    const records = this.#of(kind)
    const former = records.get(id)
    records.set(id, record)
    for (const {name, keys} of byKind.get(kind) ?? []) {
      const wanted = keys(record)
      for (const key of former ? keys(former) : []) if (!wanted.includes(key)) this.#forget(name, key, id)
      for (const key of wanted) this.#note(name, key, id, record)
    }
  }

  remove(kind: Kind, id: string): void {
    const records = this.#of(kind)
    const former = records.get(id)
    if (!former) return
    records.delete(id)
    for (const {name, keys} of byKind.get(kind) ?? []) for (const key of keys(former)) this.#forget(name, key, id)
  }

  find<I extends IndexName>(index: I, key: string): Iterable<Found<I>> {
    return (this.#found.get(index)?.get(key)?.values() ?? []) as Iterable<Found<I>>
  }

  count(index: IndexName, key: string): number {
    return this.#found.get(index)?.get(key)?.size ?? 0
  }

  all<K extends Kind>(kind: K): Iterable<[id: string, record: Records[K]]> {
    return (this.#records.get(kind) ?? []) as Iterable<[string, Records[K]]>
  }

  /** Removes all records of this kind. */
  clear(kind: Kind): void {
    this.#records.delete(kind)
    for (const {name} of byKind.get(kind) ?? []) this.#found.delete(name)
  }

  #of(kind: Kind): Map<string, AnyRecord> {
    const records = this.#records.get(kind) ?? new Map<string, AnyRecord>()
    this.#records.set(kind, records)
    return records
  }

  #note(name: IndexName, key: string, id: string, record: AnyRecord): void {
    const found = this.#found.get(name) ?? new Map<string, Map<string, AnyRecord>>()
    this.#found.set(name, found)
    const records = found.get(key) ?? new Map<string, AnyRecord>()
    found.set(key, records.set(id, record))
  }

  #forget(name: IndexName, key: string, id: string): void {
    const found = this.#found.get(name)
    const records = found?.get(key)
    records?.delete(id)
    if (records?.size === 0) found?.delete(key)
  }
}
