import {identityVariables} from '../../config/git-identity.ts'
import {permissionRules} from './permissions.ts'

/** The variable that marks the processes of a run, so that they can be found and ended. */
export const markerVariable = 'A2A_RUN'

export type EnvironmentOptions = {
  /** The worker's own environment. */
  base: NodeJS.ProcessEnv
  cwd: string
  tmpDir: string
  marker: string
  /** Further variables that the agent may see. A name that ends in `*` is a prefix. */
  allow: readonly string[]
  /** The operator's OpenCode permissions. They override ours. */
  permissions?: unknown
  /** Author of commits, `NAME <EMAIL>`. */
  gitIdentity?: string | undefined
}

/**
 * The variables that the agent needs to run as for the user. Everything else is withheld: the model's shell sees the
 * complete environment of the agent.
 */
const passed = (
  'PATH HOME USER LOGNAME SHELL TZ LANG LANGUAGE LC_* XDG_* ' +
  'HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy ' +
  'SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS OPENCODE_* RUSTUP_HOME npm_config_offline ' +
  'GIT_CONFIG_SYSTEM GIT_CONFIG_GLOBAL'
).split(' ')

/** Never passed, even if allowed: our own settings, which include the token, and the password of OpenCode's server. */
const isPrivate = (name: string) => /^A2A_/i.test(name) || name === 'OPENCODE_SERVER_PASSWORD'

/** The complete environment of an agent's process. */
export function agentEnvironment(options: EnvironmentOptions): Record<string, string> {
  const {base, cwd, tmpDir, marker, allow, permissions, gitIdentity} = options
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(base)) if (value !== undefined && isPassed(name, allow)) env[name] = value

  return {
    ...identityVariables(gitIdentity),
    ...env,
    ...withoutProxyForLoopback(env),
    // OpenCode uses PWD instead of the working directory. A wrong value means work in the wrong codebase.
    PWD: cwd,
    TMPDIR: tmpDir,
    TERM: 'dumb',
    NO_COLOR: '1',
    GIT_TERMINAL_PROMPT: '0',
    OPENCODE_DISABLE_AUTOUPDATE: '1',
    OPENCODE_PERMISSION: JSON.stringify(permissionRules(tmpDir, permissions, base['OPENCODE_PERMISSION'])),
    [markerVariable]: marker,
  }
}

/** OpenCode talks to a server of its own on loopback, which no proxy can reach. */
function withoutProxyForLoopback(env: Record<string, string>): Record<string, string> {
  if (!Object.keys(env).some((name) => /^(?:https?|all)_proxy$/i.test(name))) return {}
  const list = [env['no_proxy'] ?? env['NO_PROXY'], 'localhost,127.0.0.1,::1'].filter(Boolean).join(',')
  return {NO_PROXY: list, no_proxy: list}
}

/** Whether an agent gets the variable with this name. */
export const isPassed = (name: string, allow: readonly string[]): boolean =>
  !isPrivate(name) && [...passed, ...allow].some((allowed) => matches(name, allowed))

const matches = (name: string, allowed: string) =>
  allowed.endsWith('*') ? name.startsWith(allowed.slice(0, -1)) : name === allowed
