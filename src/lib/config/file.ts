import {readFileSync, statSync} from 'node:fs'
import {homedir} from 'node:os'
import {dirname, join} from 'node:path'
import {configError, errorCode, messageOf} from '../core/errors.ts'
import {isDeeper} from '../protocol/parse.ts'

/** A configuration file that was read and parsed. */
export type ConfigFile = {
  path: string
  directory: string
  content: Record<string, unknown>
  /** Every user of the machine may read it. */
  isPublic: boolean
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Maximum nesting of a configuration file. A deeper value would overflow the stack when it is serialized. */
export const maxDepth = 100

export const systemFile = '/etc/a2a-worker/config.json'

/** Path of this user's configuration file. `register` and `config set` write it. */
export function userFile(env: Environment): string {
  const base = env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config')
  return join(base, 'a2a-worker', 'config.json')
}

export type FoundFiles = {
  /** A later file overrides an earlier one. */
  files: ConfigFile[]
  /** Paths of default files that exist but that this user may not read. */
  unreadable: string[]
}

/**
 * Reads the file given with `--config` (`named`), or the default files. A given file must exist. Every file must be
 * valid. A default file that this user may not read is returned as unreadable, because the file of a service is private
 * to that service. Throws ExpectedError (78).
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

/** Returns undefined if the file does not exist. Throws ExpectedError (78) if it is unreadable or no JSON object. */
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
      `Let this user read the file, or give another file with --config.`,
    ).because(error)
  }

  return {path, directory: dirname(path), content: parseConfig(path, text), isPublic}
}

/** Parses the text of a configuration file. `path` is for messages. Throws ExpectedError (78). */
export function parseConfig(path: string, text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw configError(
      `The configuration file ${path} is not valid JSON: ${messageOf(error)}.`,
      'Correct the file. Comments and trailing commas are not allowed.',
    )
  }

  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw configError(
      `The configuration file ${path} must contain a JSON object.`,
      'Example: {"server_url": "https://…"}',
    )
  if (isDeeper(value, maxDepth))
    throw configError(
      `The configuration file ${path} is nested deeper than ${maxDepth} levels.`,
      'Correct the file. `a2a-worker config schema` prints its schema.',
    )
  return value as Record<string, unknown>
}
