/** Shorter ones would blank out ordinary words. */
const shortest = 6

const escaped = (text: string) => text.replaceAll(/[$()*+.?[\\\]^{|}/]/g, String.raw`\$&`)

/**
 * Blanks secrets out of output before it leaves the machine: one expression for all of them, in their plain form and
 * as they look inside a JSON string. Undefined when there is nothing to look for. Work in whole lines: a secret that
 * is cut in two is not found.
 */
export function createRedactor(
  secrets: readonly string[],
  patterns: readonly string[],
): ((text: string) => string) | undefined {
  const forms = secrets.flatMap((secret) =>
    secret.length < shortest ? [] : [secret, JSON.stringify(secret).slice(1, -1)],
  )
  const literals = [...new Set(forms)].sort((a, b) => b.length - a.length).map(escaped)
  if (literals.length + patterns.length === 0) return undefined
  const expression = new RegExp([...literals, ...patterns.map((pattern) => `(?:${pattern})`)].join('|'), 'gu')
  return (text) => text.replace(expression, '[redacted]')
}
