import {dirname} from 'node:path'
import {parseConfig} from '../../config/file.ts'
import {readValue} from '../../config/read-value.ts'
import {resolveConfig, type Resolved} from '../../config/resolve.ts'
import type {ConfiguredCodebase, SettingKey} from '../../config/settings.ts'
import {configError} from '../../core/errors.ts'
import {parseEnvFile} from './env-file.ts'
import type {Layout} from '../machine/layout.ts'
import type {Machine} from '../machine/machine.ts'

export type ConfigContent = Record<string, unknown>

/** A configuration file of the machine; undefined when there is none. Throws ExpectedError (78). */
export function readConfig(machine: Machine, path: string): {text: string; content: ConfigContent} | undefined {
  const text = machine.read(path)
  return text === undefined ? undefined : {text, content: parseConfig(path, text)}
}

/** A file that already says it stays as it was written. */
export const configText = (content: ConfigContent, before: {text: string; content: ConfigContent} | undefined) =>
  before !== undefined && JSON.stringify(before.content) === JSON.stringify(content)
    ? before.text
    : `${JSON.stringify(content, null, 2)}\n`

/** Adds codebases whose paths are not there yet; those that are stay as they are. */
export function addCodebases(
  content: ConfigContent,
  codebases: readonly ConfiguredCodebase[],
  {configFile, home}: Layout,
): ConfigContent {
  const origin = {directory: dirname(configFile), home}
  const raw = content['codebases'] ?? []
  const known = readValue('codebases', raw, origin) as ConfiguredCodebase[]
  const paths = new Set(known.map(({path}) => path))
  const added = codebases.filter(({path}) => !paths.has(path))
  if (added.length === 0) return content
  const entries = added.map(({name, path, description}) => ({name, path, ...(description ? {description} : {})}))
  return {...content, codebases: [...(Array.isArray(raw) ? raw : known), ...entries]}
}

/** What the service will go by, its environment included. Throws ExpectedError (78) with every problem. */
export function serviceSettings(layout: Layout, content: ConfigContent, envText: string): Resolved {
  const {configFile, configDir, home} = layout
  return resolveConfig({
    flags: {},
    env: {HOME: home, ...parseEnvFile(envText)},
    files: [{path: configFile, directory: configDir, content, isPublic: false}], // it is written for its owner alone
    cwd: home,
  })
}

/** The one place that names the server, and what it says. */
export type ServerPlace = {url: string; place: 'unit' | 'env' | 'config'} | {url: undefined; place: 'nowhere'}

export type ServerSources = {
  /** What was asked for now. */
  requested: string | undefined
  /** What our unit, or the one before it, says. */
  unit: string | undefined
  envText: string
  content: ConfigContent
}

/** Where the service learns its server, by what counts. Throws ExpectedError (78) when what was asked would not. */
export function resolveServerPlace({requested, unit, envText, content}: ServerSources, {envFile}: Layout): ServerPlace {
  const env = parseEnvFile(envText)['A2A_SERVER_URL']
  const key: SettingKey = 'server_url'
  if (requested !== undefined && env && env !== requested)
    throw configError(
      `${envFile} sets A2A_SERVER_URL to ${env}, which would count, not ${requested}.`,
      'Change it there, or leave out --server.',
    )
  if (env) return {url: env, place: 'env'}
  const inUnit = requested ?? unit
  if (inUnit !== undefined) return {url: inUnit, place: 'unit'}
  const inConfig = content[key]
  if (typeof inConfig === 'string') return {url: inConfig, place: 'config'}
  return {url: undefined, place: 'nowhere'}
}
