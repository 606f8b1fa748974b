import {basename, dirname} from 'node:path'
import type {Environment} from '../config/file.ts'
import {realPathOf} from '../core/paths/real-path.ts'
import {dropInFile, systemLayout, userLayout, type Layout} from './machine/layout.ts'
import {parseEnvFile} from './units/env-file.ts'
import {splitWords} from './units/unit-quoting.ts'
import {readIfThere} from '../core/paths/read-if-there.ts'

/**
 * The A2A variables that a service gets besides its configuration file: from its unit, and from its environment file if
 * this user may read that. So a command that is given the file knows the same server. Empty for any other file.
 */
export function serviceVariables(configFile: string, env: Environment): Record<string, string> {
  const instance = basename(configFile, '.json')
  const layout = [systemLayout, (name?: string) => userLayout(env, name)]
    .map((layoutOf) => layoutOf(instance === 'config' ? undefined : instance))
    .find((one) => dirname(realPathOf(configFile)) === realPathOf(one.configDir))
  if (!layout) return {}
  const all = Object.entries({...unitVariables(layout), ...parseEnvFile(readIfThere(layout.envFile) ?? '')})
  return Object.fromEntries(all.filter(([name]) => name.startsWith('A2A_')))
}

/** The variables in the drop-in of a service. */
function unitVariables(layout: Layout): Record<string, string> {
  const lines = (readIfThere(dropInFile(layout)) ?? '').split('\n')
  const words = lines.filter((line) => line.startsWith('Environment=')).flatMap((line) => splitWords(line.slice(12)))
  return Object.fromEntries(words.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]))
}
