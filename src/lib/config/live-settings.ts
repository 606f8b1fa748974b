import {isDeepStrictEqual} from 'node:util'
import {settingKeys, settingDefinition, type Config, type SettingKey} from './settings.ts'

export type SettingChanges = {
  /** Changed settings that a running worker applies. */
  live: SettingKey[]
  /** Changed settings that need a restart. */
  atStart: SettingKey[]
}

/** The settings that differ between two configurations. */
export function diffConfigs(current: Config, fresh: Config): SettingChanges {
  const changed = settingKeys.filter((key) => !isDeepStrictEqual(current[key], fresh[key]))
  const isLive = (key: SettingKey) => settingDefinition(key).live === true
  return {live: changed.filter(isLive), atStart: changed.filter((key) => !isLive(key))}
}

/**
 * Applies changed live settings to `current`, in place. Code that uses a live setting must read it from that object
 * each time, and must not store its value.
 */
export function applyLiveSettings(current: Config, fresh: Config): SettingChanges {
  const changes = diffConfigs(current, fresh)
  Object.assign(current, Object.fromEntries(changes.live.map((key) => [key, fresh[key]])))
  return changes
}
