const replacement = '[redacted]'
/** A shorter one would be found in half of all words. */
const shortest = 6

/**
 * Takes secrets out of a text, also where they stand in a JSON string. One expression for all of them: a pass for
 * each would cost five times as much with twenty secrets.
 */
export function createRedactor(secrets: readonly string[], patterns: readonly RegExp[] = []): (text: string) => string {
  const forms = secrets.flatMap((secret) => (secret.length >= shortest ? [secret, escapedInJson(secret)] : []))
  // The longest first: of two that begin alike the shorter would leave the rest of the longer one in place.
  const literals = [...new Set(forms)].sort((a, b) => b.length - a.length).map((form) => escapeForRegExp(form))
  const [plain, special] = partition(patterns, canBeJoined)
  const sources = [...literals, ...plain.map(({source}) => `(?:${source})`)]
  const passes = [
    ...(sources.length > 0 ? [new RegExp(sources.join('|'), 'g')] : []),
    ...special.map(({source, flags}) => new RegExp(source, `${flags.replaceAll(/[gy]/g, '')}g`)),
  ]
  if (passes.length === 0) return (text) => text
  // A pattern that matches nothing at all would otherwise put a mark between all characters.
  const replace = (match: string) => (match === '' ? '' : replacement)
  return (text) => passes.reduce((rest, pass) => rest.replace(pass, replace), text)
}

const escapedInJson = (text: string) => JSON.stringify(text).slice(1, -1)
const escapeForRegExp = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)

/** Flags hold for the whole of an expression, and its groups are numbered through. */
const canBeJoined = ({source, flags}: RegExp) =>
  flags.replaceAll(/[gy]/g, '') === '' && !/\\[1-9k]|\(\?</.test(source) && !new RegExp(source).test('')

function partition<T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  return [items.filter((item) => isFirst(item)), items.filter((item) => !isFirst(item))]
}
