import type {Definitions, MetricDefinition} from './definition.ts'
import {planeMetrics} from './plane-metrics.ts'
import {workerMetrics} from './worker-metrics.ts'

/** The generated parts of docs/metrics.md, by the name in their first line. */
const parts: Readonly<Record<string, Definitions>> = {'control plane': planeMetrics, worker: workerMetrics}

const begin = (name: string) => `<!-- generated: metrics of a ${name} -->\n`
const end = '<!-- end -->'

/** Returns the page with the tables of the present metrics. Throws if the page has no place for one. */
export function renderMetrics(page: string): string {
  let rendered = page
  for (const [name, definitions] of Object.entries(parts)) {
    const from = rendered.indexOf(begin(name))
    const to = rendered.indexOf(end, from)
    if (from < 0 || to < 0) throw new Error(`docs/metrics.md has no line ${begin(name)}`)
    rendered = `${rendered.slice(0, from)}${begin(name)}\n${tableOf(definitions)}\n${rendered.slice(to)}`
  }

  return rendered
}

function tableOf(definitions: Definitions): string {
  const hasWhole = Object.values(definitions).some(({of}) => of !== undefined)
  const head = ['metric', 'type', ...(hasWhole ? ['replicas'] : []), 'meaning', 'labels']
  const rows = Object.entries(definitions).map(([name, definition]) => rowOf(name, definition, hasWhole))
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`).join('')
}

function rowOf(name: string, {type, help, labels = {}, of}: MetricDefinition, hasWhole: boolean): string[] {
  const listed = Object.entries(labels).map(([label, values]) => `\`${label}\` (${values})`)
  return [
    `\`${name}\``,
    type,
    ...(hasWhole ? [of === undefined ? '' : of === 'whole' ? 'max' : 'sum'] : []),
    help,
    listed.join('; '),
  ]
}
