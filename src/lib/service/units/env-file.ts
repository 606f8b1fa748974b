/** What a file like /etc/a2a-worker/env sets, as systemd reads it (EnvironmentFile=). */
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

/** A line that sets this. */
export const envLine = (name: string, value: string): string =>
  /^[\w@%/.,:+=~-]*$/.test(value) ? `${name}=${value}` : `${name}="${value.replaceAll(/["\\`$]/g, '\\$&')}"`

/** A file with these lines at its end. */
export function appendLines(text: string, comment: string, values: Record<string, string>): string {
  const lines = Object.entries(values).map(([name, value]) => envLine(name, value))
  if (lines.length === 0) return text
  return `${text === '' || text.endsWith('\n') ? text : `${text}\n`}\n# ${comment}\n${lines.join('\n')}\n`
}

/** What a new file says. */
export const newEnvFile = `# Environment of the service, over everything else that configures it. For root alone.
# A2A_AUTH_TOKEN=
# A2A_SERVER_URL=
# What an agent may see beside the usual, here and in env_allow of the configuration:
# ANTHROPIC_API_KEY=
`
