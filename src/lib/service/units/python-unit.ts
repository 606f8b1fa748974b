import {settingKeys, settingDefinition, type SettingKey} from '../../config/settings.ts'
import type {ExistingUnit} from './existing-unit.ts'
import {splitWords} from './unit-quoting.ts'

/** The configuration of a Python worker in its unit. */
export type PythonSettings = {
  /** Variables in Environment= lines. */
  env: Record<string, string>
  /** Flags of the command line, by setting. */
  flags: Partial<Record<SettingKey, string | number | string[]>>
  /** The configuration file named on the command line. */
  configFile: string | undefined
  /** Settings that cannot be taken over. */
  warnings: string[]
}

type PythonUnit = Extract<ExistingUnit, {kind: 'python'}>

/** Reads the settings in the unit and its drop-ins. `envFile` is our environment file, which is read anyway. */
export function readPythonSettings({unit, dropIns}: PythonUnit, hostname: string, envFile: string): PythonSettings {
  const settings: PythonSettings = {env: {}, flags: {}, configFile: undefined, warnings: []}
  for (const {text, path} of [unit, ...dropIns])
    for (const line of text.replaceAll(/\\\n/g, ' ').split('\n')) {
      const [, directive, value = ''] = /^\s*(\w+)\s*=\s*(.*)$/.exec(line) ?? []
      if (directive === 'Environment') readEnvironment(value, hostname, settings)
      else if (directive === 'ExecStart' && value.includes('worker.py')) readCommand(splitWords(value), settings)
      else if (directive === 'EnvironmentFile' && value !== '' && value.replace(/^-/, '') !== envFile)
        settings.warnings.push(`${path} also reads ${value.replace(/^-/, '')}; copy what you need to ${envFile}`)
    }

  return settings
}

function readEnvironment(value: string, hostname: string, settings: PythonSettings): void {
  if (value === '') settings.env = {}
  for (const word of splitWords(value)) {
    const [, name = '', raw = ''] = /^([A-Za-z_]\w*)=(.*)$/s.exec(word) ?? []
    const text = raw.replaceAll('%H', hostname)
    if (/%(?!%)/.test(text.replaceAll('%%', ''))) settings.warnings.push(`${name}=${raw} was not taken over`)
    else if (name !== '' && !/^(?:PYTHON|VIRTUAL_ENV)/.test(name)) settings.env[name] = text.replaceAll('%%', '%')
  }
}

/** Reads `--flag value` only, because the Python worker ignores `--flag=value`. */
function readCommand(words: string[], settings: PythonSettings): void {
  const args = words.slice(words.findIndex((word) => word.endsWith('worker.py')) + 1)
  settings.flags = {}
  settings.configFile = undefined
  for (const [index, word] of args.entries()) {
    const value = args[index + 1]
    if (value === undefined) continue
    if (word === '--config' || word === '-c') settings.configFile = value
    const key = settingKeys.find((known) => isFlagFor(known, word))
    if (key === 'codebases') settings.flags.codebases = [settings.flags.codebases ?? [], value].flat().map(String)
    else if (key) settings.flags[key] = settingDefinition(key).type === 'integer' ? Number(value) : value
  }
}

function isFlagFor(key: SettingKey, word: string): boolean {
  const {flag, char} = settingDefinition(key)
  const name = flag ?? key.replaceAll('_', '-')
  return word === `--${name}` || (char !== undefined && word === `-${char}`)
}
