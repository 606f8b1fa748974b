import type {ConfigFile, Environment} from '../config/file.ts'
import {refusePlainHttp} from '../config/plain-http.ts'
import {readValue} from '../config/read-value.ts'
import type {Resolved} from '../config/resolve.ts'
import type {ConfiguredCodebase} from '../config/settings.ts'
import {ExpectedError, configError} from '../core/errors.ts'
import {outsideFolders, type OutsideFolders} from '../repository/outside-folders.ts'
import {newEnvFile, parseEnvFile, appendLines, withPath} from './units/env-file.ts'
import {findExistingUnit, type ExistingUnit} from './units/existing-unit.ts'
import {findOpenCode} from './find-opencode.ts'
import {dropInFile, type Layout} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'
import {readPythonSettings, type PythonSettings} from './units/python-unit.ts'
import {
  configText,
  resolveServerPlace,
  readConfig,
  serviceSettings,
  addCodebases,
  type ServerPlace,
} from './units/service-config.ts'
import {splitWords} from './units/unit-quoting.ts'

/** What the installing user requests, by flags and environment. */
export type InstallRequest = {
  server: string | undefined
  codebases: readonly ConfiguredCodebase[]
  openCode: string | undefined
  /** The user that agents run as. */
  agentUser?: string | undefined
  /** Written to a new environment file. */
  token: string | undefined
  /** The server may be a public address without encryption. */
  isInsecure?: boolean
  /** Used as the configuration if there is none yet. */
  configFile: ConfigFile | undefined
  /** Folders to add to the PATH of the service. */
  paths?: readonly string[]
}

export type InspectOptions = {
  machine: Machine
  layout: Layout
  request: InstallRequest
  hostname: string
  /** Environment of the installing user. OpenCode is searched there last. */
  env: Environment
  programRoot: string
}

/** What exists on the machine, and what the service will have after the installation. */
export type Inspection = {
  existing: Exclude<ExistingUnit, {kind: 'foreign'}>
  /** New text of the configuration file. */
  configText: string
  envText: string
  server: ServerPlace
  settings: Resolved
  /** Path of the OpenCode program itself. */
  openCode: string | undefined
  /** Folders outside of the codebases that their git needs. */
  git: OutsideFolders[]
  warnings: string[]
}

/**
 * Reads the state of the machine and merges the request into it. Changes nothing. Throws ExpectedError: the unit belongs
 * to another program (73), the configuration is invalid (78), or a file is unreadable (77).
 */
export function inspectMachine(options: InspectOptions): Inspection {
  const {machine, layout, request, hostname} = options
  const existing = findExistingUnit(layout, machine)
  if (existing.kind === 'foreign') throw foreignUnitError(existing.path, layout)
  const python = existing.kind === 'python' ? readPythonSettings(existing, hostname, layout.envFile) : undefined
  const existingConfig = readConfig(machine, layout.configFile)
  const envText = withPath(buildEnvFile(options, python, existing, existingConfig?.content), request.paths ?? [])
  const withRequestedFlags = applyFlags(existingConfig?.content ?? initialConfig(options, python), request, python)
  const withAllCodebases = addCodebases(withRequestedFlags, [...request.codebases, ...pythonCodebases(python)], layout)
  const openCode = findOpenCode(serviceSettings(layout, withAllCodebases, envText).config.opencode_bin, options)
  refuseAgentUser(layout, withAllCodebases)
  const content = openCode.configure ? {...withAllCodebases, opencode_bin: openCode.configure} : withAllCodebases
  const settings = serviceSettings(layout, content, envText)
  const isKept =
    existingConfig !== undefined && request.configFile !== undefined && request.configFile.path !== layout.configFile
  return {
    existing,
    configText: configText(content, existingConfig),
    envText,
    server: resolveServer(options, {python, envText, content}),
    settings,
    openCode: openCode.program,
    git: machine.isLive ? settings.config.codebases.map(({path}) => outsideFolders(path)) : [],
    warnings: [
      ...(python?.warnings ?? []),
      ...settings.warnings,
      ...openCode.warnings,
      ...keptToken(options, settings.config.auth_token),
      ...(isKept ? [`${layout.configFile} was kept; ${request.configFile?.path} was not copied`] : []),
    ],
  }
}

/** A systemd of a user may start nothing as another one. */
function refuseAgentUser({scope}: Layout, {agent_user: user}: Record<string, unknown>): void {
  if (scope === 'user' && user !== undefined)
    throw configError(
      'agent_user needs a service of the machine.',
      'Install it as root: sudo a2a-worker install-service',
    )
}

const foreignUnitError = (path: string, {unit}: Layout) =>
  new ExpectedError(`${path} exists, but belongs neither to a2a-worker nor to the Python worker.`, {
    code: 'FOREIGN_UNIT',
    exit: 'cannotWrite',
    suggestions: [
      `Inspect it with: systemctl cat ${unit}. Move it away if it is not needed.`,
      'Or install this service under another name: --name NAME.',
    ],
  })

/** Text of the environment file: the existing or a new one, plus variables of the Python unit that are missing in it. */
function buildEnvFile(
  {machine, layout, request}: InspectOptions,
  python: PythonSettings | undefined,
  existing: ExistingUnit,
  config: Record<string, unknown> = {},
) {
  const found = machine.read(layout.envFile)
  const hasToken = 'A2A_AUTH_TOKEN' in parseEnvFile(found ?? '') || (found !== undefined && 'auth_token' in config)
  const token = !hasToken && request.token !== undefined ? {A2A_AUTH_TOKEN: request.token} : {}
  const text = appendLines(found ?? newEnvFile, 'From the environment of the installation', token)
  if (!python || existing.kind !== 'python') return text
  const known = parseEnvFile(text)
  const isOverridden = (name: string) =>
    name in known || Object.keys(python.flags).some((key) => name === `A2A_${key.toUpperCase()}`)
  const values = Object.entries(python.env).filter(([name]) => name !== 'A2A_SERVER_URL' && !isOverridden(name))
  return appendLines(text, `From ${existing.unit.path}, the unit of the Python worker`, Object.fromEntries(values))
}

/** A warning, if the service keeps another token than the one that was given. */
const keptToken = ({layout, request: {token}}: InspectOptions, kept: string | undefined): string[] =>
  token === undefined || token === kept
    ? []
    : [`the service keeps its token, and the one given here was not written. Change it in ${layout.envFile}`]

/** The initial content of a new configuration file. */
function initialConfig(
  {machine, request}: InspectOptions,
  python: PythonSettings | undefined,
): Record<string, unknown> {
  if (request.configFile) return request.configFile.content
  return (python?.configFile === undefined ? undefined : readConfig(machine, python.configFile)?.content) ?? {}
}

/** Applies flags, except the server, which has its own place, and codebases, which are added later. */
function applyFlags(content: Record<string, unknown>, request: InstallRequest, python: PythonSettings | undefined) {
  const {server_url: _server, codebases: _codebases, ...flags} = python?.flags ?? {}
  const requested = {opencode_bin: request.openCode, agent_user: request.agentUser}
  const given = Object.entries(requested).filter(([, value]) => value !== undefined)
  return {...content, ...flags, ...Object.fromEntries(given)}
}

const pythonCodebases = (python: PythonSettings | undefined) =>
  readValue('codebases', [python?.flags.codebases ?? []].flat(), {directory: '/'}) as ConfiguredCodebase[]

type ServerParts = {python: PythonSettings | undefined; envText: string; content: Record<string, unknown>}

function resolveServer(
  {machine, layout, request}: InspectOptions,
  {python, envText, content}: ServerParts,
): ServerPlace {
  const flag = python?.flags.server_url
  const lines = (machine.read(dropInFile(layout)) ?? '').split('\n')
  const words = lines.filter((line) => line.startsWith('Environment=')).flatMap((line) => splitWords(line.slice(12)))
  const ours = words.find((word) => word.startsWith('A2A_SERVER_URL='))?.slice('A2A_SERVER_URL='.length)
  const unit = (typeof flag === 'string' ? flag : undefined) ?? ours ?? python?.env['A2A_SERVER_URL']
  const known = resolveServerPlace({requested: undefined, unit, envText, content}, layout).url
  if (request.server !== undefined && request.server !== known && !request.isInsecure) refusePlainHttp(request.server)
  const server = resolveServerPlace({requested: request.server, unit, envText, content}, layout)
  if (server.url === undefined && machine.isLive)
    throw configError(
      'No server is configured for the service.',
      `Give --server URL, or add server_url to ${layout.configFile}.`,
    )
  return server
}
