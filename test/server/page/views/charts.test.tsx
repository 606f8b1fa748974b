/** @jsxImportSource hono/jsx */
import {expect, test} from 'vitest'
import {BarChart, heights, type Bar} from '../../../../src/lib/server/page/views/charts.tsx'

const bar = (...values: number[]): Bar => ({parts: values.map((value, n) => ({value, kind: `k${n}`})), label: 'l'})

test('the parts of a bar stand on each other, and the highest bar fits', () => {
  const [low, high] = heights(bar(6, 4), 10)
  expect(low).toEqual({kind: 'k0', y: 55 - 31.2, height: 31.2})
  expect(high?.y).toBeCloseTo(3)
  expect((high?.y ?? 0) + (high?.height ?? 0)).toBeCloseTo(low?.y ?? 0)
})

test('what is there at all is a line, and what is not there is nothing', () => {
  expect(heights(bar(1, 0), 100_000)).toEqual([{kind: 'k0', y: 54, height: 1}])
  expect(heights(bar(0, 0), 0)).toEqual([])
})

test('a chart has no style of its own, a name, a title for each bar, and only numbers as places', () => {
  const svg = String(<BarChart title={'a <b> "chart"'} bars={[bar(1, 2), bar(), bar(0)]} />)
  expect(svg).toContain('role="img" aria-label="a &lt;b&gt; &quot;chart&quot;"')
  expect(svg.match(/<title>l<\/title>/g)).toHaveLength(3)
  expect(svg).not.toMatch(/style|NaN|Infinity|undefined/)
  expect(String(<BarChart title="none" bars={[]} />)).not.toMatch(/NaN|Infinity/)
})
