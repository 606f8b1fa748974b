import {homedir} from 'node:os'
import {dirname, join} from 'node:path'
import {userFile, type Environment} from '../../config/file.ts'
import {usageError} from '../../core/errors.ts'

/** The user and group that services of the machine run as. */
export const serviceUser = 'a2a-worker'

/** Where everything of one service is. A machine may have several; all but the first are named. */
export type Layout = {
  scope: 'system' | 'user'
  instance: string | undefined
  /** Name of the unit, without its ending. */
  unit: string
  /** Name of the unit that ends the agents. */
  agentsUnit: string
  unitDir: string
  /** Program and Node, shared by all services of the scope. */
  programDir: string
  configDir: string
  configFile: string
  envFile: string
  /** What HOME is to the service. */
  home: string
  /** Where systemd keeps the state of a service of the machine; a user's own service keeps it where its commands do. */
  stateDir: string
  /** Relative to `/var/lib`: what is `/tmp` to the service. */
  tmp: string
}

const unitBase = 'a2a-agent-worker'

export type LayoutOptions = {
  isUser: boolean
  /** Of the worker. */
  name: string | undefined
  hostname: string
  env: Environment
}

/** The service of a worker of this name. Throws ExpectedError (2) when no unit can have it. */
export function serviceLayout({isUser, name, hostname, env}: LayoutOptions): Layout {
  const instance = instanceName(name, hostname)
  return isUser ? userLayout(env, instance) : systemLayout(instance)
}

/** A service of the machine. */
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

/** A service of the user who installs it, in that user's own systemd. */
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
/** What differs from machine to machine. */
export const dropInFile = ({unitDir, unit}: Layout) => join(unitDir, `${unit}.service.d`, 'machine.conf')
export const nodeFile = ({programDir}: Layout) => join(programDir, 'bin/node')
export const appDir = ({programDir}: Layout) => join(programDir, 'app')

/** Names that would meet the names of something else. */
const reservedNames = /^(?:config|env|agents|.*-agents)$/

/**
 * The instance that a worker's name stands for: none for the name that a worker has anyway. Throws ExpectedError (2)
 * when no unit can have that name.
 */
function instanceName(name: string | undefined, defaultName: string): string | undefined {
  if (name === undefined || name === defaultName) return undefined
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name) || reservedNames.test(name))
    throw usageError(
      `No service can be named '${name}'.`,
      'Give letters, digits, dots, dashes and underscores; "config", "env" and what ends in "agents" are taken.',
    )
  return name
}
