import {dirname} from 'node:path'
import Conf from 'conf'
import {ExpectedError, messageOf} from '../core/errors.ts'
import {userFile, type Environment} from './file.ts'
import type {ConfiguredCodebase} from './settings.ts'

/**
 * Adds a codebase to this user's configuration file, or changes the entry of that path. Answers with what was written
 * where; false when it was there already as it is. Throws ExpectedError (73).
 */
export function writeCodebase(
  env: Environment,
  {name, path, description}: ConfiguredCodebase,
): {file: string; changed: boolean} {
  const file = userFile(env)
  try {
    const conf = new Conf<Record<string, unknown>>({
      cwd: dirname(file),
      configName: 'config',
      fileExtension: 'json',
      configFileMode: 0o600,
      serialize: (value) => `${JSON.stringify(value, null, 2)}\n`,
    })
    const known = conf.get('codebases')
    const entries = Array.isArray(known) ? (known as {path?: unknown}[]) : []
    const entry = {name, path, ...(description ? {description} : {})}
    const index = entries.findIndex((other) => other.path === path)
    if (index >= 0 && JSON.stringify(entries[index]) === JSON.stringify(entry)) return {file, changed: false}
    conf.set('codebases', index >= 0 ? entries.with(index, entry) : [...entries, entry])
    return {file, changed: true}
  } catch (error) {
    throw new ExpectedError(`Cannot write ${file}: ${messageOf(error)}.`, {
      code: 'CANNOT_WRITE',
      exit: 'cannotWrite',
      suggestions: ['Check its permissions.'],
      cause: error,
    })
  }
}
