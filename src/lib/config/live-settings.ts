import {isDeepStrictEqual} from 'node:util'
import {settingKeys, settingOf, type Config, type SettingKey} from './settings.ts'

export type Changes = {
  /** Those that a worker takes up while it runs. */
  live: SettingKey[]
  /** Those that wait for its next start. */
  atStart: SettingKey[]
}

/** How two configurations differ. */
export function changesBetween(current: Config, fresh: Config): Changes {
  const changed = settingKeys.filter((key) => !isDeepStrictEqual(current[key], fresh[key]))
  const isLive = (key: SettingKey) => settingOf(key).live === true
  return {live: changed.filter(isLive), atStart: changed.filter((key) => !isLive(key))}
}

/**
 * Changes what may change of the configuration that a worker runs with, in place: whoever uses such a setting reads it
 * there when it is needed, and does not keep it.
 */
export function applyLive(current: Config, fresh: Config): Changes {
  const changes = changesBetween(current, fresh)
  Object.assign(current, Object.fromEntries(changes.live.map((key) => [key, fresh[key]])))
  return changes
}
