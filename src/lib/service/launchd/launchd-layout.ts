import {join} from 'node:path'
import type {Environment} from '../../config/file.ts'
import {usageError} from '../../core/errors.ts'
import {serviceLayout, type Layout} from '../machine/layout.ts'
import type {Machine} from '../machine/machine.ts'

/** The paths and names of one service of launchd, the service manager of macOS. */
export type LaunchdLayout = Layout & {
  label: string
  plist: string
  /** What launchctl calls the place of the service: the machine, or the login of a user. */
  domain: string
  /** The user that worker and agents run as. */
  user: string
  log: string
}

export type LaunchdLayoutOptions = {
  machine: Machine
  isUser: boolean
  name: string | undefined
  hostname: string
  env: Environment
  user: {id: number; name: string}
}

/**
 * The layout of the service for a worker with this name. A service of the machine runs as the user who has called sudo:
 * macOS has no tool like systemd-sysusers to create one. Throws ExpectedError (2) if the name or the user cannot be used.
 */
export async function launchdLayout(options: LaunchdLayoutOptions): Promise<LaunchdLayout> {
  const {machine, isUser, env} = options
  const base = serviceLayout(options)
  const user = isUser ? options.user.name : (env['SUDO_USER'] ?? '')
  if (user === '' || user === 'root')
    throw usageError(
      'The worker needs a user that is not root.',
      'Log in as the user that agents are to have, and run this with sudo. Or give --user.',
    )
  const home = isUser ? base.home : await homeOf(user, machine)
  const label = base.instance === undefined ? 'local.a2a-worker' : `local.a2a-worker.${base.instance}`
  return {
    ...base,
    home,
    stateDir: join(home, '.local/state/a2a-worker'),
    label,
    plist: join(isUser ? join(home, 'Library/LaunchAgents') : '/Library/LaunchDaemons', `${label}.plist`),
    domain: isUser ? `gui/${options.user.id}` : 'system',
    user,
    log: join(home, 'Library/Logs', `${label}.log`),
  }
}

/** The ninth field of an entry of passwd, as macOS prints it. */
async function homeOf(user: string, machine: Machine): Promise<string> {
  const usual = join('/Users', user)
  if (!machine.isLive) return usual
  const {code, stdout} = await machine.run(['id', '-P', user])
  return (code === 0 ? stdout.split(':')[8] : undefined) || usual
}
