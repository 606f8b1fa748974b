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

/** Whether a value is nested deeper than `levels`. `JSON.parse` accepts any depth, but writing it would exhaust the stack. */
export function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1))
}
