import {dirname} from 'node:path'
import Conf from 'conf'
import {ExpectedError, messageOf} from '../core/errors.ts'
import {userFile, type Environment} from './file.ts'
import type {ConfiguredCodebase, SettingKey} from './settings.ts'
import {isWritable, makePrivateDirectory} from './state-directory.ts'

export type UserConfig = {
  file: string
  /** Adds a codebase, or replaces the entry with its path. Returns whether the file changed. */
  add(codebase: ConfiguredCodebase): boolean
  /** Writes a setting, or removes it if the value is undefined. Returns whether the file changed. */
  set(key: SettingKey, value: unknown): boolean
}

/**
 * Opens this user's configuration file for writing. Checks at once that it can be read and written, so that a caller
 * fails before it does other work. Throws ExpectedError (73), as `add` and `set` do.
 */
export function openUserConfig(env: Environment): UserConfig {
  const file = userFile(env)
  return attempt(file, () => {
    if (!isWritable(makePrivateDirectory(dirname(file)))) throw new Error('its directory is not writable')
    const conf = new Conf<Record<string, unknown>>({
      cwd: dirname(file),
      configName: 'config',
      fileExtension: 'json',
      configFileMode: 0o600,
      serialize: (value) => `${JSON.stringify(value, null, 2)}\n`,
    })
    return {
      file,
      add: (codebase) => attempt(file, () => addCodebase(conf, codebase)),
      set: (key, value) => attempt(file, () => setValue(conf, key, value)),
    }
  })
}

function addCodebase(conf: Conf<Record<string, unknown>>, {name, path, description}: ConfiguredCodebase): boolean {
  const known = conf.get('codebases')
  const entries = Array.isArray(known) ? (known as {path?: unknown}[]) : []
  const entry = {name, path, ...(description ? {description} : {})}
  const index = entries.findIndex((other) => other.path === path)
  if (index >= 0 && JSON.stringify(entries[index]) === JSON.stringify(entry)) return false
  conf.set('codebases', index >= 0 ? entries.with(index, entry) : [...entries, entry])
  return true
}

function setValue(conf: Conf<Record<string, unknown>>, key: SettingKey, value: unknown): boolean {
  if (JSON.stringify(conf.get(key)) === JSON.stringify(value)) return false
  if (value === undefined) conf.delete(key)
  else conf.set(key, value)
  return true
}

function attempt<T>(file: string, step: () => T): T {
  try {
    return step()
  } catch (error) {
    if (error instanceof ExpectedError) throw error
    throw new ExpectedError(`Cannot write ${file}: ${messageOf(error)}.`, {
      code: 'CANNOT_WRITE',
      exit: 'cannotWrite',
      suggestions: ['Check its permissions.'],
      cause: error,
    })
  }
}
