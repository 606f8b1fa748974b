import {readFileSync, statSync} from 'node:fs'
import {homedir} from 'node:os'
import {dirname, join} from 'node:path'
import {configError, errorCode, messageOf} from '../core/errors.ts'
import {isDeeper} from '../protocol/parse.ts'

export type ConfigFile = {
  path: string
  directory: string
  content: Record<string, unknown>
  /** Every user of the machine may read it. */
  isPublic: boolean
}

export type Environment = Readonly<Record<string, string | undefined>>

/** No setting is so deep; a value that is could not be written anew, into a message or for the agent. */
export const maxDepth = 100

export const systemFile = '/etc/a2a-worker/config.json'

/** The file that `register` and `config set` write. */
export function userFile(env: Environment): string {
  const base = env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config')
  return join(base, 'a2a-worker', 'config.json')
}

export type FoundFiles = {
  /** In order: later wins. */
  files: ConfigFile[]
  /** Files that are there and may not be read by this user. */
  unreadable: string[]
}

/**
 * The configuration files. One that was named must be there and be good; of the default ones, those that exist must
 * be good, and one that this user may not read is left to the caller to judge (the service's own is private to it).
 * Throws ExpectedError (78).
 */
export function readConfigFiles(env: Environment, named?: string): FoundFiles {
  if (named !== undefined) {
    const file = readConfigFile(named)
    if (file === undefined)
      throw configError(`The configuration file ${named} does not exist.`, 'Check the path given with --config.')
    return {files: [file], unreadable: []}
  }

  const found: FoundFiles = {files: [], unreadable: []}
  for (const path of [systemFile, userFile(env)]) {
    try {
      const file = readConfigFile(path)
      if (file) found.files.push(file)
    } catch (error) {
      if (!isNoAccess(error)) throw error
      found.unreadable.push(path)
    }
  }

  return found
}

const isNoAccess = (error: unknown) => ['EACCES', 'EPERM'].includes(errorCode((error as Error).cause) ?? '')

/** Undefined when there is none. Throws ExpectedError (78) when it cannot be read or is not a JSON object. */
function readConfigFile(path: string): ConfigFile | undefined {
  let text: string
  let isPublic: boolean
  try {
    text = readFileSync(path, 'utf8')
    isPublic = (statSync(path).mode & 0o004) !== 0
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw configError(
      `The configuration file ${path} cannot be read: ${messageOf(error)}.`,
      `Give this user the right to read it, or name another file with --config.`,
    ).because(error)
  }

  return {path, directory: dirname(path), content: parseConfig(path, text), isPublic}
}

/** The JSON object in the text of a configuration file. Throws ExpectedError (78). */
export function parseConfig(path: string, text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw configError(
      `The configuration file ${path} is not valid JSON: ${messageOf(error)}.`,
      'Correct the file; comments and trailing commas are not allowed.',
    )
  }

  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw configError(`The configuration file ${path} must hold a JSON object.`, 'Write {"server_url": "https://…"}.')
  if (isDeeper(value, maxDepth))
    throw configError(
      `The configuration file ${path} is nested deeper than ${maxDepth} levels.`,
      'Correct the file; `a2a-worker config schema` prints what it may hold.',
    )
  return value as Record<string, unknown>
}
