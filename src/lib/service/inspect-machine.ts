import type {ConfigFile, Environment} from '../config/file.ts'
import {readValue} from '../config/read-value.ts'
import type {Resolved} from '../config/resolve.ts'
import type {ConfiguredCodebase} from '../config/settings.ts'
import {ExpectedError, configError} from '../core/errors.ts'
import {newEnvFile, parseEnvFile, withLines} from './units/env-file.ts'
import {existingUnit, type ExistingUnit} from './units/existing-unit.ts'
import {findOpenCode} from './find-opencode.ts'
import {dropInFile, type Layout} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'
import {pythonSettings, type PythonSettings} from './units/python-unit.ts'
import {
  configText,
  placeOfServer,
  readConfig,
  serviceSettings,
  withCodebases,
  type ServerPlace,
} from './units/service-config.ts'
import {unitWords} from './units/unit-word.ts'

/** What is asked for with flags and the environment of who installs. */
export type Wanted = {
  server: string | undefined
  codebases: readonly ConfiguredCodebase[]
  openCode: string | undefined
  /** Goes into a new environment file. */
  token: string | undefined
  /** Becomes the configuration where there is none. */
  configFile: ConfigFile | undefined
}

export type ExamineOptions = {
  machine: Machine
  layout: Layout
  wanted: Wanted
  hostname: string
  /** Of who installs: where OpenCode is looked for last. */
  env: Environment
  programRoot: string
}

/** What is there, and what it comes to together with what is wanted. */
export type Findings = {
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
export function examine(options: ExamineOptions): Findings {
  const {machine, layout, wanted, hostname} = options
  const existing = existingUnit(layout, machine)
  if (existing.kind === 'foreign') throw foreignUnit(existing.path, layout)
  const python = existing.kind === 'python' ? pythonSettings(existing, hostname, layout.envFile) : undefined
  const envText = environmentOf(options, python, existing)
  const before = readConfig(machine, layout.configFile)
  const asked = withFlags(before?.content ?? firstContent(options, python), wanted, python)
  const withAll = withCodebases(asked, [...wanted.codebases, ...pythonCodebases(python)], layout)
  const openCode = findOpenCode(serviceSettings(layout, withAll, envText).config.opencode_bin, options)
  const content = openCode.configure ? {...withAll, opencode_bin: openCode.configure} : withAll
  const settings = serviceSettings(layout, content, envText)
  const isKept = before !== undefined && wanted.configFile !== undefined && wanted.configFile.path !== layout.configFile
  return {
    existing,
    configText: configText(content, before),
    envText,
    server: serverOf(options, {python, envText, content}),
    settings,
    openCode: openCode.program,
    warnings: [
      ...(python?.warnings ?? []),
      ...settings.warnings,
      ...openCode.warnings,
      ...(isKept ? [`${layout.configFile} was kept; ${wanted.configFile?.path} was not copied`] : []),
    ],
  }
}

const foreignUnit = (path: string, {unit}: Layout) =>
  new ExpectedError(`${path} exists, and is neither a2a-worker's nor that of the Python worker.`, {
    code: 'FOREIGN_UNIT',
    exit: 'cannotWrite',
    suggestions: [
      `Look at it (systemctl cat ${unit}); move it away if it is not needed.`,
      'Or install this service beside it, under a name of its own: --name NAME.',
    ],
  })

/** The environment file: as it is, or new; with what the Python unit sets and the file does not. */
function environmentOf(
  {machine, layout, wanted}: ExamineOptions,
  python: PythonSettings | undefined,
  existing: ExistingUnit,
) {
  const found = machine.read(layout.envFile)
  const token = found === undefined && wanted.token !== undefined ? {A2A_AUTH_TOKEN: wanted.token} : {}
  const text = withLines(found ?? newEnvFile, 'From the environment of the installation', token)
  if (!python || existing.kind !== 'python') return text
  const known = parseEnvFile(text)
  const isOverridden = (name: string) =>
    name in known || Object.keys(python.flags).some((key) => name === `A2A_${key.toUpperCase()}`)
  const values = Object.entries(python.env).filter(([name]) => name !== 'A2A_SERVER_URL' && !isOverridden(name))
  return withLines(text, `From ${existing.unit.path}, the unit of the Python worker`, Object.fromEntries(values))
}

/** What a configuration that is not there yet begins with. */
function firstContent({machine, wanted}: ExamineOptions, python: PythonSettings | undefined): Record<string, unknown> {
  if (wanted.configFile) return wanted.configFile.content
  return (python?.configFile === undefined ? undefined : readConfig(machine, python.configFile)?.content) ?? {}
}

/** The server has a place of its own, and codebases are added, not replaced. */
function withFlags(content: Record<string, unknown>, wanted: Wanted, python: PythonSettings | undefined) {
  const {server_url: _server, codebases: _codebases, ...flags} = python?.flags ?? {}
  return {...content, ...flags, ...(wanted.openCode === undefined ? {} : {opencode_bin: wanted.openCode})}
}

const pythonCodebases = (python: PythonSettings | undefined) =>
  readValue('codebases', [python?.flags.codebases ?? []].flat(), {directory: '/'}) as ConfiguredCodebase[]

type ServerParts = {python: PythonSettings | undefined; envText: string; content: Record<string, unknown>}

function serverOf({machine, layout, wanted}: ExamineOptions, {python, envText, content}: ServerParts): ServerPlace {
  const flag = python?.flags.server_url
  const lines = (machine.read(dropInFile(layout)) ?? '').split('\n')
  const words = lines.filter((line) => line.startsWith('Environment=')).flatMap((line) => unitWords(line.slice(12)))
  const ours = words.find((word) => word.startsWith('A2A_SERVER_URL='))?.slice('A2A_SERVER_URL='.length)
  const unit = (typeof flag === 'string' ? flag : undefined) ?? ours ?? python?.env['A2A_SERVER_URL']
  const server = placeOfServer({wanted: wanted.server, unit, envText, content}, layout)
  if (server.url === undefined && machine.isLive)
    throw configError(
      'The service has no server to work for.',
      `Give --server URL, or put server_url into ${layout.configFile}.`,
    )
  return server
}
