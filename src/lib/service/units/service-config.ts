import {dirname} from 'node:path'
import {parseConfig} from '../../config/file.ts'
import {readValue} from '../../config/read-value.ts'
import {resolveConfig, type Resolved} from '../../config/resolve.ts'
import type {ConfiguredCodebase, SettingKey} from '../../config/settings.ts'
import {configError} from '../../core/errors.ts'
import {realPathOf} from '../../core/paths/real-path.ts'
import {parseEnvFile} from './env-file.ts'
import type {Layout} from '../machine/layout.ts'
import type {Machine} from '../machine/machine.ts'

export type ConfigContent = Record<string, unknown>

/** Reads a configuration file of the machine. Undefined if it does not exist. Throws ExpectedError (77, 78). */
export function readConfig(machine: Machine, path: string): {text: string; content: ConfigContent} | undefined {
  const text = machine.read(path)
  return text === undefined ? undefined : {text, content: parseConfig(path, text)}
}

/** The text of a configuration file. An existing file with equal content keeps its formatting. */
export const configText = (content: ConfigContent, before: {text: string; content: ConfigContent} | undefined) =>
  before !== undefined && JSON.stringify(before.content) === JSON.stringify(content)
    ? before.text
    : `${JSON.stringify(content, null, 2)}\n`

/** Adds the codebases whose paths are not in the configuration yet. Existing entries stay unchanged. */
export function addCodebases(
  content: ConfigContent,
  codebases: readonly ConfiguredCodebase[],
  {configFile, home}: Layout,
): ConfigContent {
  const origin = {directory: dirname(configFile), home}
  const raw = content['codebases'] ?? []
  const known = readValue('codebases', raw, origin) as ConfiguredCodebase[]
  const directories = new Set(known.map(({path}) => realPathOf(path)))
  const added = codebases.filter(({path}) => !directories.has(realPathOf(path)))
  if (added.length === 0) return content
  const entries = added.map(({name, path, description}) => ({name, path, ...(description ? {description} : {})}))
  return {...content, codebases: [...(Array.isArray(raw) ? raw : known), ...entries]}
}

/** Resolves the settings of the service from its files. Throws ExpectedError (78) with all problems. */
export function serviceSettings(layout: Layout, content: ConfigContent, envText: string): Resolved {
  const {configFile, configDir, home} = layout
  return resolveConfig({
    flags: {},
    env: {HOME: home, ...parseEnvFile(envText)},
    files: [{path: configFile, directory: configDir, content, isPublic: false}], // the installation closes it to others
    cwd: home,
  })
}

/** The one place that configures the server, and the URL there. */
export type ServerPlace = {url: string; place: 'unit' | 'env' | 'config'} | {url: undefined; place: 'nowhere'}

export type ServerSources = {
  /** The server requested now. */
  requested: string | undefined
  /** The server in our unit, or in the unit that it replaces. */
  unit: string | undefined
  envText: string
  content: ConfigContent
}

/**
 * The place that configures the server: environment file, unit or configuration file, in this order. Throws
 * ExpectedError (78) if the environment file would override the requested server.
 */
export function resolveServerPlace({requested, unit, envText, content}: ServerSources, {envFile}: Layout): ServerPlace {
  const env = parseEnvFile(envText)['A2A_SERVER_URL']
  const key: SettingKey = 'server_url'
  if (requested !== undefined && env && env !== requested)
    throw configError(
      `${envFile} sets A2A_SERVER_URL to ${env}, which overrides ${requested}.`,
      'Change it in that file, or omit --server.',
    )
  if (env) return {url: env, place: 'env'}
  const inUnit = requested ?? unit
  if (inUnit !== undefined) return {url: inUnit, place: 'unit'}
  const inConfig = content[key]
  if (typeof inConfig === 'string') return {url: inConfig, place: 'config'}
  return {url: undefined, place: 'nowhere'}
}
