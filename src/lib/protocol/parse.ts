import * as v from 'valibot'

/** The first problems of a value with their paths: `tasks.0.id: expected string, received number`. */
export function describeIssues(issues: readonly v.BaseIssue<unknown>[]): string {
  return issues
    .slice(0, 3)
    .map((issue) => {
      const path = issue.path?.map((item) => String(item.key)).join('.')
      const message = issue.message.replace(/^Invalid (type|length|key): /, '').replace(/^E/, 'e')
      return path ? `${path}: ${message}` : message
    })
    .join('; ')
}

/** Parses JSON. Returns undefined if the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/**
 * Whether the text of a JSON value is nested deeper than `levels`. Parsing four megabytes of opening brackets would block
 * the event loop for more than a second; this stops at the first that is too deep.
 */
export function isDeeperText(text: Uint8Array, levels: number): boolean {
  let depth = 0
  let isInText = false
  for (let at = 0; at < text.length; at++) {
    const byte = text[at]
    if (isInText) {
      if (byte === backslash) at += 1
      else if (byte === quote) isInText = false
    } else if (byte === quote) isInText = true
    else if (byte === openArray || byte === openObject) depth += 1
    else if (byte === closeArray || byte === closeObject) depth -= 1
    if (depth > levels) return true
  }

  return false
}

const [quote, backslash, openArray, closeArray, openObject, closeObject] = Buffer.from('"\\[]{}')

/** Whether a value is nested deeper than `levels`. `JSON.parse` accepts any depth, but writing it would exhaust the stack. */
export function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1))
}
