import type {EventBody, WorkerEvent} from '../../src/lib/events/worker-event.ts'
import {reduceEvents} from '../../src/lib/ui/view/reduce.ts'
import {emptyView, type View} from '../../src/lib/ui/view/view.ts'

export const noon = new Date(2026, 10, 24, 12, 0, 0).getTime()

export const newView = (): View =>
  emptyView({name: 'box-api', server: 'http://plane.test', slots: 4, logLevel: 'info', now: noon})

/** The view after these events, one second apart. */
export const after = (view: View, ...events: EventBody[]): View =>
  events.reduce((now, event, i) => reduceEvents(now, [{at: noon + (i + 1) * 1000, ...event} as WorkerEvent]), view)

export const received = (taskId: string, title = `Title of ${taskId}`): EventBody => ({
  type: 'task.received',
  taskId,
  title,
  source: 'stream',
  attempt: 1,
  path: '/srv/api',
})

export const started = (taskId: string): EventBody => ({
  type: 'task.started',
  taskId,
  attempt: 1,
  title: `Title of ${taskId}`,
  path: '/srv/api',
  agent: 'build',
  pid: 4711,
})

export const said = (taskId: string, line: string, text?: string): EventBody => ({
  type: 'task.activity',
  taskId,
  line,
  ...(text === undefined ? {} : {text}),
})

export const finished = (
  taskId: string,
  status: 'completed' | 'failed' | 'cancelled' = 'completed',
  error: string | null = null,
): EventBody => ({type: 'task.finished', taskId, status, ms: 61_500, error, cost: 0.25})

/** An active task whose agent runs. */
export const running = (taskId: string, title?: string): EventBody[] => [
  received(taskId, title),
  {type: 'task.claimed', taskId, attempt: 1},
  started(taskId),
]

/** A connected worker that serves one codebase. */
export const connected = (): View =>
  after(
    newView(),
    {type: 'phase.changed', from: 'idle', to: 'starting'},
    {type: 'worker.registered', workerId: 'w1', name: 'box-api', server: 'http://plane.test', first: true},
    {type: 'codebase.registered', codebaseId: 'cb1', name: 'api', path: '/srv/api'},
    {type: 'phase.changed', from: 'starting', to: 'running'},
    {type: 'link.changed', link: 'stream', reason: 'connected'},
  )
