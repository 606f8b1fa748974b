import {Flags} from '@oclif/core'
import type {SettingKey} from './lib/config/settings.ts'
import {envNames, settingDefinition} from './lib/config/settings.ts'

/** The oclif flag of a setting. Its value stays text, because the resolver checks values from all sources. */
function settingFlag(key: SettingKey) {
  const {description, char, flag, ...rest} = settingDefinition(key)
  const fallback = rest.default === undefined || Array.isArray(rest.default) ? '' : `, default ${String(rest.default)}`
  const options = {
    summary: `${description} (${envNames(key)[0]}${fallback})`,
    ...(char ? {char: char as 's'} : {}),
    ...(rest.type === 'integer' || rest.type === 'number'
      ? {helpValue: 'N'}
      : rest.type === 'path'
        ? {helpValue: 'PATH'}
        : {}),
    ...(rest.type === 'string' && rest.options ? {helpValue: rest.options.join('|')} : {}),
  }
  if (!flag) throw new Error(`the setting ${key} has no flag`)
  return rest.type === 'codebases'
    ? Flags.string({...options, multiple: true, multipleNonGreedy: true, helpValue: 'NAME:PATH'})
    : Flags.string(options)
}

/** The oclif flags of these settings, by flag name. */
export const settingFlags = (...keys: SettingKey[]) =>
  Object.fromEntries(keys.map((key) => [settingDefinition(key).flag ?? key, settingFlag(key)]))

/** Flags of every command. */
export const commonFlags = {
  config: Flags.string({
    char: 'c',
    summary: 'Configuration file to read instead of the default files',
    helpValue: 'FILE',
    helpGroup: 'GLOBAL',
  }),
  server: Flags.string({char: 's', summary: 'Control plane (A2A_SERVER_URL)', helpValue: 'URL', helpGroup: 'GLOBAL'}),
  insecure: Flags.boolean({
    summary: 'Send the token to a public address even without encryption (A2A_INSECURE)',
    helpGroup: 'GLOBAL',
  }),
  'no-color': Flags.boolean({summary: 'No colours (also NO_COLOR)', helpGroup: 'GLOBAL'}),
}

/** Parsed flags by setting key, as input of the resolver. */
export function flagsBySetting(
  flags: Record<string, unknown>,
  keys: readonly SettingKey[],
): Partial<Record<SettingKey, unknown>> {
  return Object.fromEntries(keys.map((key) => [key, flags[settingDefinition(key).flag ?? key]]))
}

/** Flags that `run` and `tasks create` share: what the agent is told, and how. */
export const promptFlags = {
  file: Flags.string({char: 'f', summary: 'Read the prompt from a file', helpValue: 'FILE'}),
  title: Flags.string({char: 't', summary: 'Title (default: the first line of the prompt)'}),
  agent: Flags.string({char: 'a', summary: 'OpenCode agent', default: 'build'}),
  model: Flags.string({char: 'm', summary: 'Model, provider/name'}),
  sign: Flags.boolean({
    summary: 'Sign the task, for workers that verify tasks (default: if there is a signing_key)',
    allowNo: true,
  }),
}

/** Flags that `install-service` and `uninstall-service` share. */
export const serviceFlags = {
  user: Flags.boolean({summary: "A service of this user in the user's systemd; needs no root"}),
  root: Flags.string({
    summary: 'Write all files below this folder and run nothing, for building a package',
    helpValue: 'DIR',
  }),
  'dry-run': Flags.boolean({summary: 'Show what would be written and run, and change nothing'}),
}
