import {envNames, settingDefinition, settingKeys} from '../../dist/lib/config/settings.js'
import {code, table} from './table.mjs'

/** One row per setting. The default of a setting without a fixed one is in its description: `(default: …)`. */
export const settingsTable = () => table(['key', 'default', 'flag', 'meaning'], settingKeys.map(rowOf))

function rowOf(key) {
  const {description, flag, char, live, options, ...rest} = settingDefinition(key)
  const [, described] = / \(default: ([^)]*)\)/.exec(description) ?? []
  const meaning = description.replace(/ \(default: [^)]*\)/, '')
  const further = envNames(key).slice(1)
  const notes = [
    meaning,
    ...(options ? [`one of ${options.map(code).join(', ')}`] : []),
    ...(further.length > 0 ? [`also read from ${further.map(code).join(', ')}`] : []),
    ...(live ? [] : ['needs a restart']),
  ]
  return [code(key), defaultText(rest.default) ?? described ?? 'none', flagText(flag, char), notes.join('; ')]
}

function defaultText(value) {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return undefined
  return code(Array.isArray(value) ? value.join(',') : value)
}

const flagText = (flag, char) => (flag ? [`--${flag}`, ...(char ? [`-${char}`] : [])].map(code).join(', ') : '')
