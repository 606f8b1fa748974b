import * as v from 'valibot'

/** Where the first thing that is wrong with a value is, and what: `tasks.0.id: expected string, received number`. */
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

/** `JSON.parse` whose result is unknown; undefined where the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** `JSON.parse` takes any depth, but what is to be written again must not exhaust the stack. */
export function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1))
}
