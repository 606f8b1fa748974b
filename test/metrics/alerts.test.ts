import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {parse} from 'yaml'
import {planeMetrics} from '../../src/lib/metrics/plane-metrics.ts'
import {workerMetrics} from '../../src/lib/metrics/worker-metrics.ts'

const read = (path: string) => readFileSync(join(import.meta.dirname, '../..', path), 'utf8')

type Rules = {groups: {rules: {alert: string; expr: string}[]}[]}
type Tests = {tests: {alert_rule_test: {alertname: string; exp_alerts: object[]}[]}[]}
const rules = (parse(read('deploy/prometheus-alerts.yaml')) as Rules).groups.flatMap((group) => group.rules)

test('each alert has a test in which it fires, and one in which it does not', () => {
  const tests = (parse(read('test/metrics/alerts.yaml')) as Tests).tests.flatMap((one) => one.alert_rule_test)
  const namesOf = (fires: boolean) =>
    new Set(tests.filter((one) => one.exp_alerts.length > 0 === fires).map((one) => one.alertname))
  const names = new Set(rules.map(({alert}) => alert))
  expect(namesOf(true)).toEqual(names)
  expect(namesOf(false)).toEqual(names)
})

type Panel = {panels?: Panel[]; targets?: {expr: string; legendFormat?: string}[]}
const targetsOf = ({panels = [], targets = []}: Panel): {expr: string; legendFormat?: string}[] => [
  ...targets,
  ...panels.flatMap(targetsOf),
]

/** The labels of each metric, with those that Prometheus adds. */
const labelsOf = new Map(
  Object.entries({...planeMetrics, ...workerMetrics}).map(([name, definition]) => {
    const buckets = definition.type === 'histogram' ? ['le'] : []
    return [name, ['job', 'instance', ...buckets, ...Object.keys('labels' in definition ? definition.labels : {})]]
  }),
)

/** Labels in selectors, in `by (…)` and in the legend that a metric of the query does not have. */
function unknownLabels({expr, legendFormat = ''}: {expr: string; legendFormat?: string}): string[] {
  const metrics = [...expr.matchAll(/\b(a2a_\w+?)(?:_bucket|_sum|_count)?\b(?=[{[)\s]|$)/g)].map(
    ([, name = '']) => name,
  )
  const selected = [...expr.matchAll(/[{,](\w+)(?:=~?|!=|!~)"/g)].map(([, label = '']) => label)
  const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/, */))
  const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
  const used = [...selected, ...grouped, ...shown]
  return metrics.flatMap((name) =>
    used.filter((label) => !labelsOf.get(name)?.includes(label)).map((label) => `${name} has no ${label}: ${expr}`),
  )
}

test('the queries of the dashboard and of the alerts use labels that their metrics have', () => {
  const targets = targetsOf(JSON.parse(read('deploy/grafana-dashboard.json')) as Panel)
  expect(targets.length).toBeGreaterThan(30)
  const parts = rules.flatMap(({expr}) => expr.split(/\s(?:and|\/)\s/).map((part) => ({expr: part})))
  expect([...targets, ...parts].flatMap(unknownLabels)).toEqual([])
  expect(unknownLabels({expr: 'sum by (why) (a2a_plane_tasks{state="x"})', legendFormat: '{{what}}'})).toHaveLength(3)
})
