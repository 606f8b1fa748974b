import {closeSync, mkdtempSync, openSync, readFileSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import {execa} from 'execa'
import type {Clock} from '../core/clock.ts'
import {descriptor} from './descriptor.ts'

export type CatalogOptions = {
  binary: string
  /** The agent's environment in a directory. */
  env: (directory: string) => NodeJS.ProcessEnv
  clock: Clock
  /** An existing folder for short-lived files. */
  scratchDir: string
  timeoutMs?: number
}

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
    const names = await readNames(reader, directory, options)
    asking.delete(directory)
    if (!names) return undefined
    const list = {names, at: clock.monotonic()}
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

/** Into a file: OpenCode exits without draining a pipe. Undefined where there is no answer in time. */
async function readNames(
  reader: NameReader,
  directory: string,
  options: CatalogOptions,
): Promise<string[] | undefined> {
  const {binary, env, scratchDir, timeoutMs = 20_000} = options
  let folder: string | undefined
  let fd: number | undefined
  try {
    folder = mkdtempSync(join(scratchDir, 'catalog-'))
    const file = join(folder, 'answer')
    fd = openSync(file, 'w', 0o600)
    const result = await execa(binary, reader.arguments, {
      cwd: directory,
      env: {...env(directory)},
      extendEnv: false,
      reject: false,
      buffer: false,
      stdio: ['ignore', descriptor(fd), 'ignore'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    return result.failed ? undefined : reader.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  } finally {
    if (fd !== undefined) closeSync(fd)
    if (folder) rmSync(folder, {recursive: true, force: true})
  }
}
