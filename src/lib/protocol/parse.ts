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

/** The parsed value, or an `Error` that says what of it is wrong. `what` names the thing in that message. */
export function parseAs<const S extends v.GenericSchema<unknown, unknown>>(
  schema: S,
  value: unknown,
  what: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value)
  if (!result.success) throw new Error(`${what}: ${describeIssues(result.issues)}`)
  return result.output
}

/** `JSON.parse` whose result is unknown; undefined where the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
