import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {renderMetrics} from '../../src/lib/metrics/metrics-page.ts'

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/metrics.md'), 'utf8')

test('the page of metrics has all metrics and all alerts as they are', () => {
  expect(renderMetrics(page), 'run `npm run manifest`').toBe(page)
  const rules = readFileSync(join(root, 'deploy/prometheus-alerts.yaml'), 'utf8')
  const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name)
  const documented = [...page.matchAll(/^\| `(A2a\w+)` \|/gm)].map(([, name]) => name)
  expect(documented.sort()).toEqual(alerts.sort())
  expect(() => renderMetrics('# Another page')).toThrow('has no line')
})
