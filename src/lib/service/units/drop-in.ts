import {existsSync} from 'node:fs'
import {dirname, join} from 'node:path'
import type {OutsideFolders} from '../../repository/outside-folders.ts'
import type {Config} from '../../config/settings.ts'
import {ownAgentUser, type Layout} from '../machine/layout.ts'
import type {ServerPlace} from './service-config.ts'
import {quotePath, quoteWord} from './unit-quoting.ts'
import {agentUserLines, homeOfAgents} from './agent-account.ts'
import {defaultDrain, fileHeader, stopTimeout} from './units.ts'

export type BindOptions = {
  layout: Layout
  config: Config
  /** Variables in the environment file. */
  env: Readonly<Record<string, string>>
  /** Path of the OpenCode program itself, if it was found. */
  openCode: string | undefined
  /** Folders outside of the codebases that their git needs. */
  git?: readonly OutsideFolders[]
}

export type DropInOptions = BindOptions & {server: ServerPlace}

/** The lines that open the sandbox of a service of the machine. */
export const bindLines = (options: BindOptions): string[] => [
  ...new Set([...writablePaths(options), ...readablePaths(options)]),
]

/** Text of the drop-in for this machine: server, stop timeout, and the bound parts of the file system. */
export function machineDropIn(options: DropInOptions): string {
  const {layout, config} = options
  const drain = config.drain_timeout
  const isSystem = layout.scope === 'system'
  return [
    `${fileHeader} from`,
    `# ${layout.configFile} and ${layout.envFile}: after a change there run it again.`,
    '[Service]',
    serverLine(options),
    ...(drain === defaultDrain ? [] : [`TimeoutStopSec=${stopTimeout(drain)}`]),
    ...(isSystem && config.agent_user !== undefined ? agentUserLines(config.agent_user) : []),
    ...(isSystem ? bindLines(options) : []),
    '',
  ].join('\n')
}

function serverLine({server: {place, url}, layout}: DropInOptions): string {
  if (place === 'unit') return `Environment=${quoteWord(`A2A_SERVER_URL=${url}`)}`
  if (place === 'nowhere') return '# Environment=A2A_SERVER_URL=https://… belongs here.'
  const where = place === 'env' ? layout.envFile : `server_url in ${layout.configFile}`
  return `# A2A_SERVER_URL is not set here: ${where} counts.`
}

/** Bind lines for codebases and for folders that the environment names. The dash lets systemd skip a missing path. */
function writablePaths({config, env, layout, git = []}: BindOptions): string[] {
  const {agent_user: user} = config
  const home = user === undefined ? env['HOME'] : homeOfAgents(user)
  const folders = !home || home === layout.home ? [] : user === ownAgentUser ? [home] : partsOf(home)
  const xdg = ['XDG_DATA_HOME', 'XDG_CONFIG_HOME', 'XDG_STATE_HOME', 'XDG_CACHE_HOME'].flatMap(
    (name) => env[name] || [],
  )
  const {codebases, registration_roots: roots = [], global_codebase: global = 'none'} = config
  const places = [...codebases.map(({path}) => path), ...roots, ...(global === 'none' ? [] : [global])]
  const paths = [...places, ...git.flatMap(boundGitFolders), ...folders, ...xdg]
  return paths.map((path) => `BindPaths=-${quotePath(path)}`)
}

/** Of a home that has other uses, only what OpenCode needs. */
const partsOf = (home: string): string[] => ['.local', '.config', '.cache'].map((name) => join(home, name))

/**
 * The git folder of a repository of which the codebase is a part is not bound if the rest of the working tree is hidden:
 * to git all files of the rest would be deleted.
 */
const boundGitFolders = ({top, writable}: OutsideFolders) => (top !== undefined && isHidden(top) ? [] : writable)

/** Bind lines for configured files that the sandbox would hide. */
function readablePaths({config, env, openCode, git = []}: BindOptions): string[] {
  const {opencode_bin: binary, opencode_storage_path: storage, auth_token_file: token} = config
  const borrowed = git.flatMap(({readable}) => readable)
  const paths = [storage, token, ...borrowed, ...toolPlaces(env)].filter(
    (path) => path !== undefined && isHidden(path),
  ) as string[]
  const program = openCode !== undefined && (isHidden(openCode) || binary !== openCode) ? [openCode] : []
  return [
    ...program.map((path) => `BindReadOnlyPaths=-${bindSpec(path, binary ?? path)}`),
    ...paths.map((path) => `BindReadOnlyPaths=-${quotePath(path)}`),
  ]
}

/** The folders of PATH, with what their programs need. */
const toolPlaces = (env: BindOptions['env']): string[] =>
  [...(env['PATH']?.split(':') ?? []).map(installationOf), env['RUSTUP_HOME'] ?? ''].filter((path) => path !== '')

/** Node and Go need the folder that contains `bin`. Other such folders may contain secrets of the person. */
function installationOf(folder: string): string {
  const parent = dirname(folder)
  const isWhole = ['lib/node_modules', 'pkg/tool'].some((name) => existsSync(join(parent, name)))
  return isWhole ? parent : folder
}

/** `source:target`, or only the source if both are equal. A colon inside quotes does not separate. */
const bindSpec = (from: string, to: string) => (from === to ? quotePath(from) : `${quotePath(from)}:${quotePath(to)}`)

/** Whether the sandbox hides this path from the service. */
export const isHidden = (path: string): boolean => /^\/(?:home|root|run\/user|tmp|var\/tmp)(?:\/|$)/.test(path)
