import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {readConfigFiles} from '../../src/lib/config/file.ts'
import {resolveConfig} from '../../src/lib/config/resolve.ts'
import {envNames, settingKeys, settingDefinition, type SettingKey} from '../../src/lib/config/settings.ts'
import {mutateBytes} from '../mutate-bytes.ts'
import {mutateJson} from '../mutate-json.ts'
import type {Random} from '../random.ts'
import {config} from '../samples.ts'
import {verdictOf, check, type Target} from '../target.ts'

/** The exit code for an invalid configuration. */
const configExit = 78
const maxWarningChars = 20_000

/** A configuration file and variables of the environment. */
export const configFiles: Target = {
  name: 'config',
  share: 120,
  open: (folder) => {
    const path = join(folder, 'config.json')
    return {
      run(random) {
        writeFileSync(path, content(random), {mode: 0o600})
        return verdictOf(() => {
          const {files} = readConfigFiles({}, path)
          const resolved = resolveConfig({flags: {}, env: {HOME: '/home/u', ...variables(random)}, files, cwd: folder})
          for (const key of settingKeys) check(isOfType(key, resolved.config[key]), `${key} has its type`)
          check(resolved.warnings.join('').length < maxWarningChars, 'warnings are short')
          JSON.stringify(resolved)
        }, configExit)
      },
    }
  },
}

function content(random: Random): Buffer {
  const keys = Object.keys(config).filter(() => random.chance(0.3))
  const some = Object.fromEntries(keys.map((key) => [key, config[key as keyof typeof config]]))
  const text = Buffer.from(random.chance(0.7) ? mutateJson(some, random) : JSON.stringify(some, null, 2))
  return random.chance(0.3) ? mutateBytes(text, random) : text
}

function variables(random: Random): Record<string, string> {
  if (random.chance(0.7)) return {}
  const key = random.pick(settingKeys)
  const value = mutateBytes(Buffer.from(random.pick(['5', 'true', 'a,b', '{"a":1}', 'n:/p', 'http://h'])), random)
  return {[envNames(key)[0] ?? '']: value.toString().replaceAll('\0', '')}
}

const types: Record<ReturnType<typeof settingDefinition>['type'], (value: unknown) => boolean> = {
  string: (value) => typeof value === 'string',
  path: (value) => typeof value === 'string',
  integer: Number.isSafeInteger,
  number: Number.isFinite,
  boolean: (value) => typeof value === 'boolean',
  list: (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
  paths: (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  command: (value) =>
    typeof value === 'string' || (Array.isArray(value) && value.every((item) => typeof item === 'string')),
  codebases: (value) =>
    Array.isArray(value) && value.every(({name, path}) => `${typeof name}${typeof path}` === 'stringstring'),
}

const isOfType = (key: SettingKey, value: unknown) => value === undefined || types[settingDefinition(key).type](value)
