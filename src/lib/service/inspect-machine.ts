import type {ConfigFile, Environment} from '../config/file.ts'
import {readValue} from '../config/read-value.ts'
import type {Resolved} from '../config/resolve.ts'
import type {ConfiguredCodebase} from '../config/settings.ts'
import {ExpectedError, configError} from '../core/errors.ts'
import {newEnvFile, parseEnvFile, appendLines} from './units/env-file.ts'
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

/** What is asked for with flags and the environment of who installs. */
export type InstallRequest = {
  server: string | undefined
  codebases: readonly ConfiguredCodebase[]
  openCode: string | undefined
  /** Goes into a new environment file. */
  token: string | undefined
  /** Becomes the configuration where there is none. */
  configFile: ConfigFile | undefined
}

export type InspectOptions = {
  machine: Machine
  layout: Layout
  request: InstallRequest
  hostname: string
  /** Of who installs: where OpenCode is looked for last. */
  env: Environment
  programRoot: string
}

/** What is there, and what it comes to together with what is wanted. */
export type Inspection = {
  existing: Exclude<ExistingUnit, {kind: 'foreign'}>
  /** Of the configuration file. */
  configText: string
  envText: string
  server: ServerPlace
  settings: Resolved
  /** The program itself, however it was found. */
  openCode: string | undefined
  warnings: string[]
}

/**
 * Reads what the machine has and makes of it what the service will have. Changes nothing. Throws ExpectedError: a unit
 * that is somebody else's (73), a bad configuration (78), a file that may not be read (77).
 */
export function inspectMachine(options: InspectOptions): Inspection {
  const {machine, layout, request, hostname} = options
  const existing = findExistingUnit(layout, machine)
  if (existing.kind === 'foreign') throw foreignUnitError(existing.path, layout)
  const python = existing.kind === 'python' ? readPythonSettings(existing, hostname, layout.envFile) : undefined
  const envText = buildEnvFile(options, python, existing)
  const before = readConfig(machine, layout.configFile)
  const asked = applyFlags(before?.content ?? initialConfig(options, python), request, python)
  const withAll = addCodebases(asked, [...request.codebases, ...pythonCodebases(python)], layout)
  const openCode = findOpenCode(serviceSettings(layout, withAll, envText).config.opencode_bin, options)
  const content = openCode.configure ? {...withAll, opencode_bin: openCode.configure} : withAll
  const settings = serviceSettings(layout, content, envText)
  const isKept =
    before !== undefined && request.configFile !== undefined && request.configFile.path !== layout.configFile
  return {
    existing,
    configText: configText(content, before),
    envText,
    server: resolveServer(options, {python, envText, content}),
    settings,
    openCode: openCode.program,
    warnings: [
      ...(python?.warnings ?? []),
      ...settings.warnings,
      ...openCode.warnings,
      ...(isKept ? [`${layout.configFile} was kept; ${request.configFile?.path} was not copied`] : []),
    ],
  }
}

const foreignUnitError = (path: string, {unit}: Layout) =>
  new ExpectedError(`${path} exists, and is neither a2a-worker's nor that of the Python worker.`, {
    code: 'FOREIGN_UNIT',
    exit: 'cannotWrite',
    suggestions: [
      `Look at it (systemctl cat ${unit}); move it away if it is not needed.`,
      'Or install this service beside it, under a name of its own: --name NAME.',
    ],
  })

/** The environment file: as it is, or new; with what the Python unit sets and the file does not. */
function buildEnvFile(
  {machine, layout, request}: InspectOptions,
  python: PythonSettings | undefined,
  existing: ExistingUnit,
) {
  const found = machine.read(layout.envFile)
  const token = found === undefined && request.token !== undefined ? {A2A_AUTH_TOKEN: request.token} : {}
  const text = appendLines(found ?? newEnvFile, 'From the environment of the installation', token)
  if (!python || existing.kind !== 'python') return text
  const known = parseEnvFile(text)
  const isOverridden = (name: string) =>
    name in known || Object.keys(python.flags).some((key) => name === `A2A_${key.toUpperCase()}`)
  const values = Object.entries(python.env).filter(([name]) => name !== 'A2A_SERVER_URL' && !isOverridden(name))
  return appendLines(text, `From ${existing.unit.path}, the unit of the Python worker`, Object.fromEntries(values))
}

/** What a configuration that is not there yet begins with. */
function initialConfig(
  {machine, request}: InspectOptions,
  python: PythonSettings | undefined,
): Record<string, unknown> {
  if (request.configFile) return request.configFile.content
  return (python?.configFile === undefined ? undefined : readConfig(machine, python.configFile)?.content) ?? {}
}

/** The server has a place of its own, and codebases are added, not replaced. */
function applyFlags(content: Record<string, unknown>, request: InstallRequest, python: PythonSettings | undefined) {
  const {server_url: _server, codebases: _codebases, ...flags} = python?.flags ?? {}
  return {...content, ...flags, ...(request.openCode === undefined ? {} : {opencode_bin: request.openCode})}
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
  const server = resolveServerPlace({requested: request.server, unit, envText, content}, layout)
  if (server.url === undefined && machine.isLive)
    throw configError(
      'The service has no server to work for.',
      `Give --server URL, or put server_url into ${layout.configFile}.`,
    )
  return server
}
