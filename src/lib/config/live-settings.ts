import {isDeepStrictEqual} from 'node:util'
import {settingKeys, settingDefinition, type Config, type SettingKey} from './settings.ts'

export type SettingChanges = {
  /** Those that a worker takes up while it runs. */
  live: SettingKey[]
  /** Those that wait for its next start. */
  atStart: SettingKey[]
}

/** How two configurations differ. */
export function diffConfigs(current: Config, fresh: Config): SettingChanges {
  const changed = settingKeys.filter((key) => !isDeepStrictEqual(current[key], fresh[key]))
  const isLive = (key: SettingKey) => settingDefinition(key).live === true
  return {live: changed.filter(isLive), atStart: changed.filter((key) => !isLive(key))}
}

/**
 * Changes what may change of the configuration that a worker runs with, in place: whoever uses such a setting reads it
 * there when it is needed, and does not keep it.
 */
export function applyLiveSettings(current: Config, fresh: Config): SettingChanges {
  const changes = diffConfigs(current, fresh)
  Object.assign(current, Object.fromEntries(changes.live.map((key) => [key, fresh[key]])))
  return changes
}
