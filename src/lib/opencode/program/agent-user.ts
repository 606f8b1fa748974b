import {spawnSync} from 'node:child_process'
import type {Environment} from '../../config/file.ts'
import {readIfThere} from '../../core/paths/read-if-there.ts'
import {configError} from '../../core/errors.ts'

/** The user that agents run as, if it is another than that of the worker (setting `agent_user`). */
export type AgentUser = {name: string; uid: number; gid: number; home: string; shell: string}

/**
 * Looks the user up in passwd(5), also where that comes from a directory service. Throws ExpectedError (78) if there is
 * none, or if it is root.
 */
export function findAgentUser(name: string | undefined): AgentUser | undefined {
  if (name === undefined) return undefined
  const {stdout} = spawnSync('getent', ['passwd', '--', name], {encoding: 'utf8'})
  const [found = '', , uid, gid, , home = '/', shell = '/bin/sh'] = (stdout ?? '').trim().split(':')
  if (found !== name)
    throw configError(`agent_user is ${name}, but there is no such user`, `Create it: useradd --create-home ${name}`)
  if (Number(uid) === 0) throw configError('agent_user is root, which agents must not be', 'Name another user.')
  // The shell of an account without logins runs no commands, and OpenCode runs its own by it.
  const usable = /\/(?:nologin|false)$/.test(shell) || shell === '' ? '/bin/sh' : shell
  return {name, uid: Number(uid), gid: Number(gid), home, shell: usable}
}

/**
 * Words before a command that run it as the user, with none of the worker's capabilities: with ambient capabilities
 * Node's own `uid` option would leave them to the agent, who could become root by them. None without a user.
 */
export function wordsOfUser(user: AgentUser | undefined): string[] {
  if (!user) return []
  const groups = ['--reuid', String(user.uid), '--regid', String(user.gid), '--init-groups']
  const rights = ['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--no-new-privs']
  return ['setpriv', ...groups, ...rights, '--']
}

/** Program and arguments that run a command as the user, or as it is without one. */
export function asAgentUser(user: AgentUser | undefined, command: readonly string[]): [string, string[]] {
  const [program = '', ...args] = [...wordsOfUser(user), ...command]
  return [program, args]
}

/** The worker's environment as that user would have it. */
export function environmentOfUser(env: Environment, user: AgentUser | undefined): Environment {
  if (!user) return env
  const kept = Object.entries(env).filter(([name]) => !name.startsWith('XDG_'))
  return {...Object.fromEntries(kept), HOME: user.home, USER: user.name, LOGNAME: user.name, SHELL: user.shell}
}

/** Whether this process may start programs as the user. */
export const mayBecome = (user: AgentUser): boolean => askAsUser(user, ['true']) !== undefined

/** The text of a file of the user, or of this process's user. Undefined if it is missing or not readable. */
export const readAsUser = (user: AgentUser | undefined, path: string): string | undefined =>
  user ? askAsUser(user, ['cat', '--', path]) : readIfThere(path)

/** Runs a short command as the user. Returns its stdout, or undefined if it fails. */
export function askAsUser(user: AgentUser, command: readonly string[]): string | undefined {
  const [program, args] = asAgentUser(user, command)
  const {status, stdout} = spawnSync(program, args, {cwd: '/', encoding: 'utf8', timeout: 30_000, stdio: 'pipe'})
  return status === 0 ? stdout : undefined
}
