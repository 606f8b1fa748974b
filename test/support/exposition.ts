/** One sample: its labels as they are written in braces, and its value. */
export type Sample = {name: string; labels: Record<string, string>; value: number}
export type Family = {type: string; help: string; samples: Sample[]}

/** Scraped metrics by the name of their family. */
export class Exposition {
  readonly families: ReadonlyMap<string, Family>

  constructor(text: string) {
    this.families = parseExposition(text)
  }

  /** The sum of the samples with these labels. Throws if there is no such metric. */
  sum(name: string, labels: Record<string, string> = {}): number {
    const family = this.families.get(name) ?? this.families.get(name.replace(/_(?:count|sum|bucket)$/, ''))
    if (!family) throw new Error(`no metric ${name}`)
    return family.samples
      .filter((sample) => sample.name === name)
      .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
      .reduce((sum, {value}) => sum + value, 0)
  }

  /** The values that a label has. */
  values(name: string, label: string): string[] {
    return [...new Set((this.families.get(name)?.samples ?? []).map(({labels}) => labels[label] ?? ''))]
  }
}

const metricName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const samplePattern = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/
const labelPattern = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/y

/**
 * Parses the text format 0.0.4 of Prometheus, and is stricter than it: each family has its help and its type first, is in
 * one piece, and has no series twice. Counters end in `_total`, and buckets add up. Throws for anything else.
 */
function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const families = new Map<string, Family>()
  let name = ''
  let help: string | undefined
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const [, kind, family = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? []
    if (kind === 'HELP') {
      if (families.has(family) || !metricName.test(family)) throw new Error(`bad help: ${line}`)
      ;[name, help] = [family, rest]
    } else if (kind === 'TYPE') {
      if (family !== name || help === undefined) throw new Error(`a type without its help: ${line}`)
      families.set(name, {type: rest, help, samples: []})
      help = undefined
    } else {
      const {samples} = families.get(name) ?? fail(`a sample without a family: ${line}`)
      samples.push(parseSample(line, name))
    }
  }

  for (const [family, content] of families) checkFamily(family, content)
  return families
}

function parseSample(line: string, family: string): Sample {
  const [, name = '', inner = '', number = ''] = samplePattern.exec(line) ?? fail(`no sample: ${line}`)
  if (name.replace(/_(?:bucket|sum|count)$/, '') !== family && name !== family)
    throw new Error(`${line} is not of ${family}`)
  const labels: Record<string, string> = {}
  labelPattern.lastIndex = 0
  for (let at = 0; at < inner.length; at = labelPattern.lastIndex) {
    labelPattern.lastIndex = at
    const [, label = '', value = ''] = labelPattern.exec(inner) ?? fail(`bad labels: ${line}`)
    if (label in labels) throw new Error(`a label twice: ${line}`)
    labels[label] = value
  }

  const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number)
  if (Number.isNaN(value)) throw new Error(`no number: ${line}`)
  return {name, labels, value}
}

function checkFamily(name: string, {type, samples}: Family): void {
  const keys = samples.map((sample) => `${sample.name}${JSON.stringify(Object.entries(sample.labels).sort())}`)
  if (new Set(keys).size < keys.length) throw new Error(`a series of ${name} is there twice`)
  if (!['counter', 'gauge', 'histogram'].includes(type)) throw new Error(`${name} is of type ${type}`)
  if ((type === 'counter') !== name.endsWith('_total')) throw new Error(`${name} is a ${type}`)
  if (type === 'counter' && samples.some(({value}) => value < 0)) throw new Error(`${name} is negative`)
  if (type === 'histogram') checkBuckets(name, samples)
}

function checkBuckets(name: string, samples: readonly Sample[]): void {
  const series = Map.groupBy(samples, ({labels: {le: _, ...labels}}) => JSON.stringify(Object.entries(labels).sort()))
  for (const members of series.values()) {
    const buckets = members.filter((sample) => sample.name === `${name}_bucket`).map(({value}) => value)
    const count = members.find((sample) => sample.name === `${name}_count`)?.value
    if (buckets.some((value, i) => value < (buckets[i - 1] ?? 0))) throw new Error(`buckets of ${name} decrease`)
    if (buckets.at(-1) !== count) throw new Error(`the buckets of ${name} have not its count`)
    if (!members.some((sample) => sample.name === `${name}_sum`)) throw new Error(`${name} has no sum`)
  }
}

function fail(message: string): never {
  throw new Error(message)
}
