import type {Clock} from '../../core/clock.ts'
import {queryOpenCode, type QueryOptions} from './query.ts'

export type CatalogOptions = QueryOptions & {clock: Clock}

export const freshMs = 10 * 60_000
/** If a name is missing in a list older than this, the list is read again. */
export const missMs = 30_000
const maxDirectories = 200

type NameList = {names: readonly string[]; at: number}

/** How long OpenCode gets to answer, and at a repetition. */
const patienceMs = [20_000, 60_000] as const

/** A command of OpenCode that lists names, and its parser. */
export type NameReader = {arguments: string[]; parse: (text: string) => string[]}

export type NameLists = ReturnType<typeof createNameLists>

/** Caches one list of names per directory, read when needed. */
export function createNameLists(reader: NameReader, options: CatalogOptions) {
  const {clock} = options
  const lists = new Map<string, NameList>()
  const running = new Map<string, Promise<NameList | undefined>>()

  const isYoung = (list: NameList, ms: number) => clock.monotonic() - list.at < ms

  /** Directories whose last query failed. The next one gets more time. */
  const failed = new Set<string>()

  const query = async (directory: string) => {
    const [first, repeated] = patienceMs
    const timeoutMs = options.timeoutMs ?? (failed.has(directory) ? repeated : first)
    const text = await queryOpenCode(reader.arguments, directory, {...options, timeoutMs})
    failed.delete(directory)
    if (text === undefined) failed.add(directory)
    running.delete(directory)
    if (text === undefined) return undefined
    const list = {names: reader.parse(text), at: clock.monotonic()}
    lists.delete(directory)
    lists.set(directory, list)
    const oldest = lists.keys().next().value
    if (lists.size > maxDirectories && oldest !== undefined) lists.delete(oldest)
    return list
  }

  return {
    has(name: string, directory: string): boolean {
      const list = lists.get(directory)
      return list !== undefined && isYoung(list, freshMs) && list.names.includes(name)
    },
    /** The cached list if it is younger than `ms` or contains `wanted`, or a new one. Concurrent callers share a query. */
    async get(directory: string, ms: number, wanted?: string): Promise<NameList | undefined> {
      const list = lists.get(directory)
      if (list && (isYoung(list, ms) || (wanted !== undefined && list.names.includes(wanted)))) return list
      const pending = running.get(directory) ?? query(directory)
      running.set(directory, pending)
      return (await pending) ?? list
    },
  }
}
