import {usageError} from '../core/errors.ts'
import {nearestNames} from '../core/text/nearest.ts'
import type {Environment} from './file.ts'
import {readValue, InvalidValueError} from './read-value.ts'
import {validateConfig, type Sources} from './resolve.ts'
import {settingKeys, type Config, type SettingKey} from './settings.ts'

/** The setting with this name. Throws ExpectedError (2) with the nearest names. */
export function settingKey(name: string): SettingKey {
  const key = settingKeys.find((known) => known === name)
  if (key === undefined) {
    const near = nearestNames(name, settingKeys)
    throw usageError(
      `There is no setting ${name}.`,
      near.length > 0 ? `Did you mean ${near.join(', ')}?` : '`a2a-worker config show` lists them.',
    )
  }
  return key
}

/** Parses a setting typed by the user. An undefined `text` removes the setting. Throws ExpectedError (2). */
export function readSetting(
  name: string,
  text: string | undefined,
  directory: string | undefined,
  env: Environment,
): {key: SettingKey; value: unknown} {
  const key = settingKey(name)
  if (key === 'codebases') throw usageError('To add a codebase, run `a2a-worker register PATH`.')
  if (text === undefined) return {key, value: undefined}
  try {
    const value = readValue(key, text, {directory, ...(env['HOME'] ? {home: env['HOME']} : {})})
    const problem = validateConfig({redact: [], [key]: value} as unknown as Config, {[key]: 'value'} as Sources)[0]
    if (problem) throw usageError(`Bad setting ${problem}.`)
    return {key, value}
  } catch (error) {
    if (error instanceof InvalidValueError) throw usageError(`${key} ${error.message}.`)
    throw error
  }
}
