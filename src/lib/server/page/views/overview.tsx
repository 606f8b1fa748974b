/** @jsxImportSource hono/jsx */
import {pathOf} from '../../http/page-rights.ts'
import type {Regions} from '../data/regions.ts'
import type {DayStats} from '../data/day-stats.ts'
import type {Overview} from '../data/overview.ts'
import type {Viewer} from '../data/viewer.ts'
import {DayCharts} from './charts.tsx'
import {html, page, Region, type Page} from './layout.tsx'
import {Card, Empty, TaskTable} from './parts.tsx'
import {amount} from './text.ts'
import {Workers} from './workers.tsx'

export function overviewPage(viewer: Viewer, data: Overview): Page {
  const regions = overviewRegions(viewer, data)
  return page({
    ...{title: 'Overview', viewer, nav: 'overview', live: pathOf('overview')},
    children: (
      <>
        <h1 class="hidden">Overview</h1>
        <Region id="numbers" regions={regions} />
        <Region id="asking" regions={regions} isSpoken />
        <Region id="day" regions={regions} />
        <Region id="workers" regions={regions} />
        <div class="columns">
          <Region id="running" regions={regions} />
          <Region id="waiting" regions={regions} />
        </div>
        <Region id="recent" regions={regions} />
      </>
    ),
  })
}

/** The parts of the first page that change. */
export const overviewRegions = (viewer: Viewer, data: Overview): Regions => ({
  numbers: html(<Numbers data={data} />),
  asking: html(<Asking data={data} />),
  day: data.day ? html(<Day day={data.day} />) : '',
  workers: html(<Workers data={data} viewer={viewer} />),
  running: html(<Running data={data} />),
  waiting: html(<Waiting data={data} />),
  recent: html(<Recent data={data} />),
})

const Day = ({day}: {day: DayStats}) => (
  <Card title={day.isPart ? 'Last 24 hours: the newest tasks' : 'Last 24 hours'}>
    <DayCharts day={day} />
  </Card>
)

function Numbers({data}: {data: Overview}) {
  const connected = data.workers.filter(({isConnected}) => isConnected)
  const slots = connected.reduce((sum, {slots}) => sum + slots, 0)
  const used = connected.reduce((sum, {used}) => sum + used, 0)
  return (
    <dl class="numbers">
      <div>
        <dt>Workers connected</dt>
        <dd>{connected.length}</dd>
      </div>
      <div>
        <dt>Slots in use</dt>
        <dd>
          {used} <small>of {slots}</small>
        </dd>
      </div>
      <div>
        <dt>Running</dt>
        <dd>
          <a href={pathOf('tasks', {}, {status: 'running'})}>{amount(data.counts.running)}</a>
        </dd>
      </div>
      <div>
        <dt>Waiting</dt>
        <dd>
          <a href={pathOf('tasks', {}, {status: 'pending'})}>{amount(data.counts.pending)}</a>
        </dd>
      </div>
      <div>
        <dt>Codebases</dt>
        <dd>
          <a href={pathOf('codebases')}>{amount(data.codebases)}</a>
        </dd>
      </div>
    </dl>
  )
}

function Asking({data: {asking, now}}: {data: Overview}) {
  if (asking.length === 0) return null
  return (
    <Card title="Needs your answer" class="attention">
      <TaskTable rows={asking} now={now} label="Tasks that need an answer" />
    </Card>
  )
}

const Running = ({data: {running, now}}: {data: Overview}) => (
  <Card title="Running" aside={<a href={pathOf('tasks', {}, {status: 'running'})}>All</a>}>
    {running.length === 0 ? <Empty>No task runs.</Empty> : <TaskTable rows={running} now={now} label="Running tasks" />}
  </Card>
)

const Waiting = ({data: {waiting, now}}: {data: Overview}) => (
  <Card title="Waiting" aside={<a href={pathOf('tasks', {}, {status: 'pending'})}>All</a>}>
    {waiting.length === 0 ? (
      <Empty>No task waits.</Empty>
    ) : (
      <TaskTable rows={waiting} now={now} label="Waiting tasks" />
    )}
  </Card>
)

const Recent = ({data: {recent, now}}: {data: Overview}) => (
  <Card title="Recently ended" aside={<a href={pathOf('tasks')}>All tasks</a>}>
    {recent.length === 0 ? (
      <Empty>No task has ended yet.</Empty>
    ) : (
      <TaskTable rows={recent} now={now} label="Recently ended tasks" />
    )}
  </Card>
)
