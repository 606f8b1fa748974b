import type {Clock} from '../../core/clock.ts'
import {queryOpenCode, type QueryOptions} from './query.ts'

export type CatalogOptions = QueryOptions & {clock: Clock}

export const freshMs = 10 * 60_000
/** A name that is not in a list older than this may have been added since. */
export const missMs = 30_000
const mostDirectories = 200

type NameList = {names: readonly string[]; at: number}

/** A command of OpenCode that lists names, and how to read what it prints. */
export type NameReader = {arguments: string[]; parse: (text: string) => string[]}

export type NameLists = ReturnType<typeof createNameLists>

/** One list a directory, asked for when it is needed. */
export function createNameLists(reader: NameReader, options: CatalogOptions) {
  const {clock} = options
  const lists = new Map<string, NameList>()
  const asking = new Map<string, Promise<NameList | undefined>>()

  const isYoung = (list: NameList, ms: number) => clock.monotonic() - list.at < ms

  const ask = async (directory: string) => {
    const text = await queryOpenCode(reader.arguments, directory, options)
    asking.delete(directory)
    if (text === undefined) return undefined
    const list = {names: reader.parse(text), at: clock.monotonic()}
    lists.delete(directory)
    lists.set(directory, list)
    const oldest = lists.keys().next().value
    if (lists.size > mostDirectories && oldest !== undefined) lists.delete(oldest)
    return list
  }

  return {
    has(name: string, directory: string): boolean {
      const list = lists.get(directory)
      return list !== undefined && isYoung(list, freshMs) && list.names.includes(name)
    },
    /** The list if it is younger than `ms` or has `wanted` in it, else a new one; two callers share one question. */
    async get(directory: string, ms: number, wanted?: string): Promise<NameList | undefined> {
      const list = lists.get(directory)
      if (list && (isYoung(list, ms) || (wanted !== undefined && list.names.includes(wanted)))) return list
      const running = asking.get(directory) ?? ask(directory)
      asking.set(directory, running)
      return (await running) ?? list
    },
  }
}
