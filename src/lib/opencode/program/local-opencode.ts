import {mkdirSync, realpathSync} from 'node:fs'
import {homedir, tmpdir} from 'node:os'
import {join} from 'node:path'
import type {Environment} from '../../config/file.ts'
import type {Config} from '../../config/settings.ts'
import type {QueryOptions} from './query.ts'
import {agentEnvironment} from './environment.ts'
import {environmentOfUser, findAgentUser} from './agent-user.ts'
import {describeLocation, locateOpenCode} from './locate.ts'

export type LocalOpenCodeOptions = {
  config: Pick<Config, 'opencode_bin' | 'env_allow' | 'permissions' | 'git_identity' | 'agent_user'>
  stateDir: string
  /** Folder of this program. */
  root: string
  env: Environment
}

const homeOf = (env: Environment) => env['HOME'] || homedir()

export type LocalOpenCode = QueryOptions & {
  source: string
  env: (directory: string) => Record<string, string>
  /** Where it is asked for what belongs to no codebase. */
  directory: string
}

/**
 * Locates the OpenCode of this machine, for queries. Throws ExpectedError (78) if there is none, or if the setting
 * `agent_user` names no user.
 */
export function localOpenCode({config, stateDir, root, env: own}: LocalOpenCodeOptions): LocalOpenCode {
  const user = findAgentUser(config.agent_user)
  const env = environmentOfUser(own, user)
  const {path: binary, ...location} = locateOpenCode({
    explicit: config.opencode_bin === undefined ? undefined : {path: config.opencode_bin, source: 'opencode_bin'},
    env,
    home: homeOf(env),
    projectRoot: root,
    isPrivileged: process.getuid?.() === 0 || Boolean(env['NOTIFY_SOCKET']),
  })
  const folder = join(stateDir, 'scratch')
  mkdirSync(folder, {recursive: true, mode: 0o700})
  const scratchDir = realpathSync(folder)
  // Another user cannot enter the state directory.
  const tmpDir = user ? tmpdir() : scratchDir
  const common = {base: env, tmpDir, marker: 'probe', gitIdentity: config.git_identity}
  return {
    binary,
    source: describeLocation(location),
    scratchDir,
    user,
    directory: user?.home ?? scratchDir,
    env: (cwd: string) => agentEnvironment({...common, cwd, allow: config.env_allow, permissions: config.permissions}),
  }
}

/** OpenCode's folder for logins, database and logs (XDG base directories). */
export const dataDirectory = (env: Environment): string =>
  join(env['XDG_DATA_HOME'] || join(homeOf(env), '.local', 'share'), 'opencode')
