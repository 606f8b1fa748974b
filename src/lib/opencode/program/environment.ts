import {permissionRules} from './permissions.ts'

/** Names the run in the environment of each of its processes: by it they are found again and ended. */
export const markerVariable = 'A2A_RUN'

export type EnvironmentOptions = {
  /** The worker's own environment. */
  base: NodeJS.ProcessEnv
  cwd: string
  tmpDir: string
  marker: string
  /** Further names the agent may see; one that ends in `*` is a prefix. */
  allow: readonly string[]
  /** The operator's OpenCode permissions; they win over ours. */
  permissions?: unknown
}

/**
 * What the agent needs to run as the user would run it. Everything else stays out: the model's shell sees the whole
 * environment of the agent.
 */
const passed =
  'PATH HOME USER LOGNAME SHELL TZ LANG LANGUAGE LC_* XDG_* ' +
  'HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy ' +
  'SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS OPENCODE_* npm_config_offline'

/** Never passed, whatever is allowed: our own settings (the server's token is one) and the password of a server. */
const isPrivate = (name: string) => /^A2A_/i.test(name) || name === 'OPENCODE_SERVER_PASSWORD'

/** The whole environment of an agent's process. */
export function agentEnvironment(options: EnvironmentOptions): Record<string, string> {
  const {base, cwd, tmpDir, marker, allow, permissions} = options
  const isAllowed = nameFilter([...passed.split(' '), ...allow])
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(base))
    if (value !== undefined && isAllowed(name) && !isPrivate(name)) env[name] = value

  return {
    ...env,
    // OpenCode believes PWD rather than the working directory: a wrong one means work in the wrong codebase.
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

function nameFilter(names: readonly string[]): (name: string) => boolean {
  const exact = new Set(names)
  const prefixes = names.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1))
  return (name) => exact.has(name) || prefixes.some((prefix) => name.startsWith(prefix))
}
