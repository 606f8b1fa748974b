/** What a label says of all values that have no place of their own. */
export const otherValue = 'other'

const maxChars = 100

/**
 * Keeps the number of values of a label bounded: each value is a time series of its own for whoever scrapes. The first
 * `max` values are kept, and all others become `other`. So do values that look like no name.
 */
export function boundedLabel(max: number): (value: string) => string {
  const known = new Set<string>()
  return (value) => {
    if (known.has(value)) return value
    if (known.size >= max || value.length > maxChars || !/^[\w.:/@+-]+$/.test(value)) return otherValue
    known.add(value)
    return value
  }
}

const maxModels = 30

/** The label of a model, PROVIDER/NAME. Anybody who creates tasks names models, and agents report them. */
export function modelLabel(): (model: string | null | undefined) => string {
  const bounded = boundedLabel(maxModels)
  return (model) => (model ? bounded(model) : 'default')
}
