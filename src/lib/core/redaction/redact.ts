import {formsOf} from './secret-forms.ts'

const replacement = '[redacted]'
/** A match of a pattern may begin this far before the end of a text, and go on after it. */
const patternReach = 512

/** Replaces secrets in a text. */
export type Redactor = ((text: string) => string) & {
  /**
   * Of a text that will go on, how much can be redacted alone, so that no secret is cut in two. At least 1: a text that
   * consists of one match has no such place.
   */
  safeLength: (text: string) => number
}

/**
 * Returns a function that replaces secrets in a text, in all the forms in which they may appear (`formsOf`). It uses one
 * regular expression for all of them: with one pass for each, twenty secrets would take five times as long.
 */
export function createRedactor(secrets: readonly string[], patterns: readonly RegExp[] = []): Redactor {
  const forms = [...new Set(secrets.flatMap((secret) => formsOf(secret)))]
  // The longest first: if two begin alike, the shorter would leave the rest of the longer one.
  const literals = forms.toSorted((a, b) => b.length - a.length).map((form) => escapeForRegExp(form))
  const [plain, special] = partition(patterns, canBeJoined)
  const sources = [...literals, ...plain.map(({source}) => `(?:${source})`)]
  const passes = [
    ...(sources.length > 0 ? [new RegExp(sources.join('|'), 'g')] : []),
    ...special.map(({source, flags}) => new RegExp(source, `${flags.replaceAll(/[gy]/g, '')}g`)),
  ]
  // A pattern that matches the empty string must not insert a replacement between all characters.
  const replace = (match: string) => (match === '' ? '' : replacement)
  const redact = (text: string) => passes.reduce((rest, pass) => rest.replace(pass, replace), text)
  return Object.assign(redact, {
    safeLength: (text: string) => safeLength(text, {forms, passes, reach: patterns.length > 0 ? patternReach : 0}),
  })
}

type Search = {forms: readonly string[]; passes: readonly RegExp[]; reach: number}

function safeLength(text: string, {forms, passes, reach}: Search): number {
  const matches = passes.flatMap((pass) => [...text.matchAll(pass)]).filter(([match]) => match !== '')
  const spans = matches.map(({index, 0: match}) => ({from: index, to: index + match.length}))
  // What begins within a match is replaced with it. A longer match may begin where one does.
  const isWithin = (at: number) => spans.some(({from, to}) => from < at && at < to)
  let end = text.length - reach
  for (const form of forms)
    for (let length = Math.min(form.length - 1, text.length); length > 0; length--) {
      const at = text.length - length
      if (at < end && text.endsWith(form.slice(0, length)) && !isWithin(at)) end = at
    }

  for (let before = Number.NaN; before !== end;) {
    before = end
    for (const {from, to} of spans) if (from < end && end < to) end = from
  }

  return end > 0 ? end : Math.max(1, Math.min(...spans.map(({to}) => to), text.length))
}

const escapeForRegExp = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)

/** Patterns with flags, back references or named groups cannot be joined into one expression. */
const canBeJoined = ({source, flags}: RegExp) =>
  flags.replaceAll(/[gy]/g, '') === '' && !/\\[1-9k]|\(\?</.test(source) && !new RegExp(source).test('')

function partition<T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  return [items.filter((item) => isFirst(item)), items.filter((item) => !isFirst(item))]
}
