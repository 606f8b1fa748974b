import {homedir} from 'node:os'
import {dirname, join} from 'node:path'
import {userFile, type Environment} from '../../config/file.ts'
import {usageError} from '../../core/errors.ts'

/** Name of the user and group of the machine's services. */
export const serviceUser = 'a2a-worker'

/** The user that `install-service --agent-user` creates. Another name must be that of an existing user. */
export const ownAgentUser = 'a2a-agent'

/** What agents with a user of their own have: a home, and a /tmp that the worker sees too. Root owns the folder. */
export const agentsDir = '/var/lib/a2a-agents'
export const agentsTmp = `${agentsDir}/tmp`

/** The paths and names of one service. A machine may have several; all but the first have an instance name. */
export type Layout = {
  scope: 'system' | 'user'
  instance: string | undefined
  /** Name of the unit, without `.service`. */
  unit: string
  /** Name of the companion unit that ends the agents. */
  agentsUnit: string
  unitDir: string
  /** Program and Node, shared by all services of the scope. */
  programDir: string
  configDir: string
  configFile: string
  envFile: string
  /** HOME of the service. */
  home: string
  /** State directory. A user's service shares it with that user's commands. */
  stateDir: string
  /** The directory that the service sees as `/tmp`, relative to `/var/lib`. */
  tmp: string
}

const unitBase = 'a2a-agent-worker'

export type LayoutOptions = {
  isUser: boolean
  /** Name of the worker. */
  name: string | undefined
  hostname: string
  env: Environment
}

/** The layout of the service for a worker with this name. Throws ExpectedError (2) if no unit can have the name. */
export function serviceLayout({isUser, name, hostname, env}: LayoutOptions): Layout {
  const instance = instanceName(name, hostname)
  return isUser ? userLayout(env, instance) : systemLayout(instance)
}

/** The layout of a service of the machine. */
export function systemLayout(instance?: string): Layout {
  return {
    scope: 'system',
    ...names(instance, '/etc/a2a-worker'),
    unitDir: '/etc/systemd/system',
    programDir: '/opt/a2a-worker',
    home: '/var/lib/a2a-worker/home',
    stateDir: '/var/lib/a2a-worker',
    tmp: instance === undefined ? 'a2a-worker/tmp' : `a2a-worker/tmp-${instance}`,
  }
}

/** The layout of a service in the systemd of the installing user. */
export function userLayout(env: Environment, instance?: string): Layout {
  const home = env['HOME'] || homedir()
  return {
    scope: 'user',
    ...names(instance, dirname(userFile(env))),
    unitDir: join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'systemd/user'),
    programDir: join(env['XDG_DATA_HOME'] || join(home, '.local/share'), 'a2a-worker'),
    home,
    stateDir: join(env['XDG_STATE_HOME'] || join(home, '.local/state'), 'a2a-worker'),
    tmp: '',
  }
}

function names(instance: string | undefined, configDir: string) {
  const unit = instance === undefined ? unitBase : `${unitBase}-${instance}`
  return {
    instance,
    unit,
    agentsUnit: `${unit}-agents`,
    configDir,
    configFile: join(configDir, `${instance ?? 'config'}.json`),
    envFile: join(configDir, instance === undefined ? 'env' : `${instance}.env`),
  }
}

export const unitFile = ({unitDir, unit}: Layout) => join(unitDir, `${unit}.service`)
export const agentsFile = ({unitDir, agentsUnit}: Layout) => join(unitDir, `${agentsUnit}.service`)
/** The drop-in with the settings that differ between machines. */
export const dropInFile = ({unitDir, unit}: Layout) => join(unitDir, `${unit}.service.d`, 'machine.conf')
export const nodeFile = ({programDir}: Layout) => join(programDir, 'bin/node')
export const appDir = ({programDir}: Layout) => join(programDir, 'app')

/** Names that would collide with other files or units. */
const reservedNames = /^(?:config|env|agents|.*-agents)$/

/**
 * The instance name for a worker's name. Undefined for the default name. Throws ExpectedError (2) if no unit can have
 * the name.
 */
function instanceName(name: string | undefined, defaultName: string): string | undefined {
  if (name === undefined || name === defaultName) return undefined
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name) || reservedNames.test(name))
    throw usageError(
      `No service can be named '${name}'.`,
      'Use letters, digits, dots, dashes and underscores. "config", "env", and "agents" as the last part are reserved.',
    )
  return name
}
