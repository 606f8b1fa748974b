const replacement = '[redacted]'
/** A shorter secret would match parts of ordinary words. */
const minLength = 6

/**
 * Returns a function that replaces secrets in a text, also where they are escaped in a JSON string. It uses one regular
 * expression for all secrets: with twenty of them, one pass each would take five times as long.
 */
export function createRedactor(secrets: readonly string[], patterns: readonly RegExp[] = []): (text: string) => string {
  const forms = secrets.flatMap((secret) => (secret.length >= minLength ? [secret, escapedInJson(secret)] : []))
  // The longest first: if two begin alike, the shorter would leave the rest of the longer one.
  const literals = [...new Set(forms)].sort((a, b) => b.length - a.length).map((form) => escapeForRegExp(form))
  const [plain, special] = partition(patterns, canBeJoined)
  const sources = [...literals, ...plain.map(({source}) => `(?:${source})`)]
  const passes = [
    ...(sources.length > 0 ? [new RegExp(sources.join('|'), 'g')] : []),
    ...special.map(({source, flags}) => new RegExp(source, `${flags.replaceAll(/[gy]/g, '')}g`)),
  ]
  if (passes.length === 0) return (text) => text
  // A pattern that matches the empty string must not insert a replacement between all characters.
  const replace = (match: string) => (match === '' ? '' : replacement)
  return (text) => passes.reduce((rest, pass) => rest.replace(pass, replace), text)
}

const escapedInJson = (text: string) => JSON.stringify(text).slice(1, -1)
const escapeForRegExp = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)

/** Patterns with flags, back references or named groups cannot be joined into one expression. */
const canBeJoined = ({source, flags}: RegExp) =>
  flags.replaceAll(/[gy]/g, '') === '' && !/\\[1-9k]|\(\?</.test(source) && !new RegExp(source).test('')

function partition<T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  return [items.filter((item) => isFirst(item)), items.filter((item) => !isFirst(item))]
}
