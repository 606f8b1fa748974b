import {configError} from '../core/errors.ts'
import {parseListenAddress} from '../core/listen-address.ts'
import {isLoopback} from '../core/loopback.ts'
import {nearestNames} from '../core/text/nearest.ts'
import {realPathOf} from '../core/paths/real-path.ts'
import {redisUrlProblem} from '../core/redis/redis-address.ts'
import type {ConfigFile, Environment} from './file.ts'
import {parseIdentity} from './git-identity.ts'
import {isValidId} from './identity.ts'
import {proxyProblem} from './proxy.ts'
import {readValue, InvalidValueError} from './read-value.ts'
import type {Config, ConfiguredCodebase, SettingKey} from './settings.ts'
import {envNames, settingKeys, settingDefinition, settings} from './settings.ts'

/** Where each value comes from: `--flag`, a variable, a file, `default`, or `unset`. */
export type Sources = Record<SettingKey, string>

export type Resolved = {
  config: Config
  sources: Sources
  warnings: string[]
}

export type ResolveInput = {
  /** Flag values by setting key. Undefined means not given. */
  flags: Partial<Record<SettingKey, unknown>>
  env: Environment
  files: readonly ConfigFile[]
  /** The current directory. Relative paths of flags and variables are resolved against it. Undefined if it was deleted. */
  cwd: string | undefined
}

/** Longer unknown names are truncated before they are shown or compared with known names. */
const maxNameChars = 60

type Candidate = {raw: unknown; source: string; directory: string | undefined}

/**
 * Resolves all settings in the order flag, environment, file, default, and records the source of each value. Throws one
 * ExpectedError (78) that lists all problems with key and source.
 */
export function resolveConfig(input: ResolveInput): Resolved {
  const problems: string[] = []
  const config: Record<string, unknown> = {}
  const sources = {} as Sources
  for (const key of settingKeys) {
    const candidates = findCandidates(key, input)
    const values = (key === 'codebases' ? candidates : candidates.slice(0, 1)).flatMap(({raw, source, directory}) => {
      try {
        return [readValue(key, raw, {directory, ...(input.env['HOME'] ? {home: input.env['HOME']} : {})})]
      } catch (error) {
        if (!(error instanceof InvalidValueError)) throw error
        problems.push(`${key} (${source}): ${error.message}`)
        return []
      }
    })
    config[key] =
      key === 'codebases' ? mergeCodebases(values as ConfiguredCodebase[][]) : (values[0] ?? defaultValue(key))
    sources[key] = candidates[0]?.source ?? (defaultValue(key) === undefined ? 'unset' : 'default')
  }

  problems.push(...findExposedSecrets(input.files), ...validateConfig(config as Config, sources))
  if (problems.length > 0)
    throw configError(
      problems.length === 1
        ? `Bad setting ${problems[0]}.`
        : `Bad settings:\n${problems.map((p) => `- ${p}`).join('\n')}`,
      'Correct the value at its source, which is given in brackets.',
    )
  return {config: config as Config, sources, warnings: findWarnings(input)}
}

const defaultValue = (key: SettingKey): unknown => settingDefinition(key).default

/** All given values of a setting, in order of precedence. An empty variable counts as unset. */
function findCandidates(key: SettingKey, {flags, env, files, cwd}: ResolveInput): Candidate[] {
  const found: Candidate[] = []
  const flag = flags[key]
  if (flag !== undefined) found.push({raw: flag, source: `--${settingDefinition(key).flag ?? key}`, directory: cwd})
  for (const name of envNames(key)) {
    const raw = env[name]
    if (raw) found.push({raw, source: name, directory: cwd})
  }

  for (const {content, path, directory} of files.toReversed()) {
    if (content[key] !== undefined && content[key] !== null) found.push({raw: content[key], source: path, directory})
  }

  return found
}

/** Merges the codebases of all sources. If two paths lead to one directory, the source with precedence wins. */
function mergeCodebases(lists: readonly ConfiguredCodebase[][]): ConfiguredCodebase[] {
  const byDirectory = new Map<string, ConfiguredCodebase>()
  for (const codebase of lists.flat()) {
    const directory = realPathOf(codebase.path)
    if (!byDirectory.has(directory)) byDirectory.set(directory, codebase)
  }

  return [...byDirectory.values()]
}

/** Checks well-formed values for further problems. Returns them as `<key> (<source>): <problem>`. */
export function validateConfig(config: Config, sources: Sources): string[] {
  const found: string[] = []
  if (config.server_url !== undefined) {
    const problem = serverUrlProblem(config.server_url)
    if (problem) found.push(`server_url (${sources.server_url}): ${problem}`)
  }

  if (config.git_identity !== undefined && !parseIdentity(config.git_identity))
    found.push(
      `git_identity (${sources.git_identity}): must be like Jo Doe <jo@example.org>, not ${JSON.stringify(config.git_identity)}`,
    )
  const proxy = config.proxy === undefined ? undefined : proxyProblem(config.proxy)
  if (proxy) found.push(`proxy (${sources.proxy}): ${proxy}`)
  const broker = config.redis_url === undefined ? undefined : redisUrlProblem(config.redis_url)
  if (broker) found.push(`redis_url (${sources.redis_url}): ${broker}`)
  const health = healthProblem(config)
  if (health) found.push(`health_addr (${sources.health_addr}): ${health}`)
  if (config.health_token !== undefined && !/^[\x21-\x7e]{16,}$/.test(config.health_token))
    found.push(`health_token (${sources.health_token}): must be at least 16 visible ASCII characters without spaces`)
  for (const pattern of config.redact) {
    try {
      RegExp(pattern, 'u')
    } catch (error) {
      found.push(`redact (${sources.redact}): ${(error as Error).message}`)
    }
  }

  if (config.worker_name !== undefined && !isValidName(config.worker_name))
    found.push(
      `worker_name (${sources.worker_name}): must be 1 to 100 letters, digits, dots, dashes, underscores, not ${JSON.stringify(config.worker_name)}`,
    )
  if (config.worker_id !== undefined && !isValidId(config.worker_id))
    found.push(`worker_id (${sources.worker_id}): must be 1 to 200 visible ASCII characters without spaces`)
  return found
}

/** Reports secrets in files that every user of the machine may read. */
const findExposedSecrets = (files: readonly ConfigFile[]): string[] =>
  files
    .filter(({isPublic}) => isPublic)
    .flatMap(({content, path}) =>
      settingKeys
        .filter((key) => settingDefinition(key).secret && containsSecret(content[key]))
        .map((key) => `${key} (${path}): every user of this machine may read the file; run: chmod 600 ${path}`),
    )

const containsSecret = (value: unknown) =>
  typeof value === 'string' && (!URL.canParse(value) || new URL(value).password !== '')

/** Whether a worker may have this name. The name is part of paths. */
export const isValidName = (name: string) => /^[\p{L}\p{N}_][\p{L}\p{N}._ -]{0,99}$/u.test(name)

/** Metrics tell models, costs and how busy a machine is. So other machines need a token. */
function healthProblem({health_addr: text, health_token: token}: Config): string | undefined {
  if (text === undefined) return undefined
  const address = parseListenAddress(text)
  if (!address) return `must be PORT or HOST:PORT, like 9464 or 10.0.0.5:9464, not ${JSON.stringify(text)}`
  if (isLoopback(address.host) || token !== undefined) return undefined
  return `other machines can reach ${address.host}: set health_token (A2A_HEALTH_TOKEN), or listen on loopback with health_addr ${address.port}`
}

function serverUrlProblem(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !['http:', 'https:'].includes(url.protocol))
    return `must be an address like https://host, not ${JSON.stringify(text)}`
  if (url.username || url.password) return 'must not contain a user or password; use auth_token'
  return undefined
}

function findWarnings({files, env}: ResolveInput): string[] {
  const unknown = files.flatMap(({content, path}) =>
    Object.keys(content)
      .filter((key) => !Object.hasOwn(settings, key) && !key.startsWith('$') && !key.startsWith('_'))
      .map((key) => {
        const name = key.slice(0, maxNameChars)
        const near = nearestNames(name, settingKeys, 1)[0]
        return `${path}: unknown setting ${JSON.stringify(name)}${near ? `, did you mean "${near}"?` : ''}`
      }),
  )
  const url = env['A2A_SERVER'] && !env['A2A_SERVER_URL'] ? ['A2A_SERVER is not read; use A2A_SERVER_URL'] : []
  return [...unknown, ...url]
}
