/** Parses a file like /etc/a2a-worker/env in the same way as systemd (EnvironmentFile=). */
export function parseEnvFile(text: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const line of text.replaceAll(/\\\n/g, '').split('\n')) {
    const [, name, value] = /^\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (name !== undefined) found[name] = unquote(value ?? '')
  }

  return found
}

function unquote(value: string): string {
  const [, quote, inner = ''] = /^(["'])(.*)\1$/.exec(value) ?? []
  if (quote === "'") return inner
  return quote === '"' ? inner.replaceAll(/\\(["\\`$])/g, '$1') : value.replaceAll(/\\(.)/g, '$1')
}

/** A line that sets a variable, quoted if needed. */
export const envLine = (name: string, value: string): string =>
  /^[\w@%/.,:+=~-]*$/.test(value) ? `${name}=${value}` : `${name}="${value.replaceAll(/["\\`$]/g, '\\$&')}"`

/** The text of a file with a comment and variables appended. */
export function appendLines(text: string, comment: string, values: Record<string, string>): string {
  const lines = Object.entries(values).map(([name, value]) => envLine(name, value))
  if (lines.length === 0) return text
  return `${text === '' || text.endsWith('\n') ? text : `${text}\n`}\n# ${comment}\n${lines.join('\n')}\n`
}

/** The text of a new environment file. */
export const newEnvFile = `# Environment of the service. It overrides the configuration file. Only root may read it.
# A2A_AUTH_TOKEN=
# A2A_SERVER_URL=
# To give a variable to agents, set it here and name it in env_allow of the configuration:
# ANTHROPIC_API_KEY=
`

/** The PATH that systemd sets for services. */
export const servicePath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The text of a file with these folders in front of its PATH. rustup finds its toolchains by a variable of its own. */
export function withPath(text: string, folders: readonly string[]): string {
  const {PATH: before, RUSTUP_HOME: rustup} = parseEnvFile(text)
  const known = (before ?? servicePath).split(':')
  const added = folders.filter((folder) => !known.includes(folder))
  if (added.length === 0) return text
  const others = text.split('\n').filter((line) => !/^\s*PATH\s*=/.test(line))
  const cargo = added.find((folder) => folder.endsWith('/.cargo/bin'))
  return appendLines(others.join('\n'), 'Tools of agents', {
    PATH: [...added, ...known].join(':'),
    ...(cargo !== undefined && rustup === undefined ? {RUSTUP_HOME: cargo.replace(/cargo\/bin$/, 'rustup')} : {}),
  })
}
