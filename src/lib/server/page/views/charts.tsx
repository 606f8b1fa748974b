/** @jsxImportSource hono/jsx */
import {formatElapsed} from '../../../core/text/times.ts'
import type {DayStats, Hour} from '../data/day-stats.ts'
import {amount, money} from './text.ts'

/** One bar of a chart: its parts from the bottom up, and what it says. */
export type Bar = {parts: {value: number; kind: string}[]; label: string}

const width = 240
const height = 56
const gap = 2

/** A bar chart without any style of its own: `kind` is the class of a part. */
export function BarChart({title, bars}: {title: string; bars: readonly Bar[]}) {
  const most = Math.max(...bars.map(({parts}) => parts.reduce((sum, {value}) => sum + value, 0)), 0)
  const step = width / Math.max(1, bars.length)
  return (
    <svg class="chart" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={title}>
      <line class="axis" x1="0" x2={width} y1={height - 0.5} y2={height - 0.5} />
      {bars.map((bar, n) => (
        <g>
          <title>{bar.label}</title>
          <rect class="hit" x={round(n * step)} y="0" width={round(step)} height={height} />
          {heights(bar, most).map(({kind, y, height: part}) => (
            <rect
              class={kind}
              x={round(n * step + gap / 2)}
              y={round(y)}
              width={round(step - gap)}
              height={round(part)}
            />
          ))}
        </g>
      ))}
    </svg>
  )
}

/** Where the parts of a bar are drawn. What is there at all is at least a line. */
export function heights({parts}: Bar, most: number): {kind: string; y: number; height: number}[] {
  let top = height - 1
  return parts
    .filter(({value}) => value > 0)
    .map(({value, kind}) => {
      const part = Math.max(1, (value / most) * (height - 4))
      top -= part
      return {kind, y: top, height: part}
    })
}

const round = (value: number) => Math.round(value * 100) / 100

const hourText = ({start}: Hour) => `${new Date(start).toISOString().slice(11, 16)} UTC`

/** What happened in the last day: how many tasks ended, how long they waited, and what they cost. */
export function DayCharts({day}: {day: DayStats}) {
  const ended = day.completed + day.failed + day.cancelled
  const wait = day.medianWait === undefined ? '–' : formatElapsed(day.medianWait)
  return (
    <div class="charts">
      <figure>
        <figcaption>
          <b>{amount(ended)}</b> ended
          <span class="legend">
            <i class="completed" /> {amount(day.completed)} completed <i class="failed" /> {amount(day.failed)} failed{' '}
            <i class="cancelled" /> {amount(day.cancelled)} cancelled
          </span>
        </figcaption>
        <BarChart
          title={`Tasks by hour: ${day.completed} completed, ${day.failed} failed, ${day.cancelled} cancelled`}
          bars={day.hours.map((hour) => ({
            parts: [
              {value: hour.completed, kind: 'completed'},
              {value: hour.failed, kind: 'failed'},
              {value: hour.cancelled, kind: 'cancelled'},
            ],
            label: `${hourText(hour)}: ${hour.completed} completed, ${hour.failed} failed, ${hour.cancelled} cancelled`,
          }))}
        />
      </figure>
      <figure>
        <figcaption>
          <b>{wait}</b> in the queue
          <span class="legend">
            median; longest {day.longestWait === undefined ? '–' : formatElapsed(day.longestWait)}
          </span>
        </figcaption>
        <BarChart
          title={`Median time in the queue by hour; of the day: ${wait}`}
          bars={day.hours.map((hour) => ({
            parts: [{value: hour.medianWait ?? 0, kind: 'wait'}],
            label: `${hourText(hour)}: ${hour.medianWait === undefined ? 'nothing was started' : formatElapsed(hour.medianWait)}`,
          }))}
        />
      </figure>
      <figure>
        <figcaption>
          <b>{money(day.cost)}</b> cost
          <span class="legend">{amount(day.tokens)} tokens</span>
        </figcaption>
        <BarChart
          title={`Cost by hour; of the day: ${money(day.cost)}`}
          bars={day.hours.map((hour) => ({
            parts: [{value: hour.cost, kind: 'cost'}],
            label: `${hourText(hour)}: ${money(hour.cost)}`,
          }))}
        />
      </figure>
    </div>
  )
}
