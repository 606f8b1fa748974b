import {expect, test} from 'vitest'
import type {EventBody, WorkerEvent} from '../../../src/lib/events/worker-event.ts'
import {reduceEvents} from '../../../src/lib/ui/view/reduce.ts'
import {emptyTail} from '../../../src/lib/ui/view/tail.ts'
import {viewLimits} from '../../../src/lib/ui/view/view.ts'
import {after, connected, finished, newView, noon, received, running, said} from '../../support/views.ts'

const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({length: count}, (_, i) => make(i))

test('the connection has a value, a time and a reason; the phase is the last one', () => {
  expect(newView()).toMatchObject({phase: 'idle', link: {value: 'down', since: noon}})
  const view = connected()
  expect(view).toMatchObject({phase: 'running', workerId: 'w1', server: 'http://plane.test'})
  expect(view.link).toEqual({value: 'stream', since: noon + 5000, reason: 'connected'})
  expect(after(view, {type: 'link.changed', link: 'poll', reason: 'gone'}).link).toMatchObject({
    value: 'poll',
    reason: 'gone',
  })
})

test('a task moves from received to reported, and its outcome stays in the history', () => {
  const claimed = after(connected(), received('a', 'Fix it'), {type: 'task.claimed', taskId: 'a', attempt: 2})
  expect(claimed.tasks).toMatchObject([{id: 'a', title: 'Fix it', phase: 'starting', attempt: 2, since: noon + 1000}])
  const busy = after(connected(), ...running('a'), {type: 'task.session', taskId: 'a', sessionId: 's'}, said('a', 'hi'))
  expect(busy.tasks).toMatchObject([
    {phase: 'running', agent: 'build', pid: 4711, sessionId: 's', lines: {dropped: 0, items: ['hi']}},
  ])
  const stopping = after(busy, {type: 'task.stopping', taskId: 'a', reason: 'cancelled'})
  expect(stopping.tasks).toMatchObject([{phase: 'stopping'}])
  const ended = after(stopping, finished('a', 'cancelled', 'cancelled on this machine'))
  expect(ended.tasks).toMatchObject([{phase: 'reporting'}])
  const reported = after(ended, {type: 'task.reported', taskId: 'a', status: 'cancelled'})
  expect(reported.tasks).toEqual([])
  expect(reported.ended).toMatchObject([
    {id: 'a', status: 'cancelled', ms: 61_500, cost: 0.25, error: 'cancelled on this machine', lines: {items: ['hi']}},
  ])
  expect(reported.totals).toEqual({completed: 0, failed: 0, cancelled: 1, cost: 0.25})
})

test('a report refused by the server is shown with the task in the history', () => {
  const view = after(connected(), ...running('a'), finished('a'), {
    type: 'task.refused',
    taskId: 'a',
    reason: 'Task a not found',
    kept: '/runs/a/1/refused.json',
  })
  expect(view.tasks).toEqual([])
  expect(view.ended).toMatchObject([{id: 'a', status: 'completed', refusal: 'Task a not found'}])
  expect(view.log.items.at(-1)).toMatchObject({
    level: 'error',
    text: 'The control plane refused the report for good: Task a not found It is saved in /runs/a/1/refused.json',
  })
})

test('a dropped task disappears, and a task that runs again appears once in the history', () => {
  expect(after(connected(), received('a'), {type: 'task.dropped', taskId: 'a', reason: 'taken'}).tasks).toEqual([])
  const twice = [...running('a'), finished('a', 'failed', 'no'), ...running('a'), finished('a')]
  const view = after(connected(), ...twice)
  expect(view.tasks).toHaveLength(1)
  expect(view.ended.map(({status}) => status)).toEqual(['completed'])
  expect(view.totals).toMatchObject({completed: 1, failed: 1})
})

test('long output of an agent is split into lines, short output is one line', () => {
  const view = after(connected(), ...running('a'), said('a', 'one two', 'one\ntwo'), said('a', 'three'))
  expect(view.tasks[0]?.lines.items).toEqual(['one', 'two', 'three'])
})

test('waiting tasks show the latest reason, and disappear once they are active', () => {
  const waits = (reason: string): EventBody => ({type: 'task.waiting', taskId: 'a', title: 'A', reason})
  const view = after(connected(), waits('no slot is free'), waits('the worker is paused'))
  expect(view.waiting).toMatchObject([{id: 'a', reason: 'the worker is paused', since: noon + 1000, at: noon + 2000}])
  expect(after(view, received('a')).waiting).toEqual([])
  const listed: EventBody = {
    type: 'queue.changed',
    tasks: [
      {id: 'b', title: 'B', reason: 'working tree busy with task a', since: 5},
      {id: 'a', title: 'A', reason: null, since: null},
    ],
    more: 3,
  }
  const queued = after(view, listed)
  expect(queued.waiting).toMatchObject([
    {id: 'b', reason: 'working tree busy with task a', since: 5},
    {id: 'a', reason: 'the worker is paused', since: noon + 1000},
  ])
  expect(queued.waitingMore).toBe(3)
})

test('a codebase is served, or refused with a reason, by its latest event', () => {
  const refused: EventBody = {type: 'codebase.refused', name: 'web', path: '/srv/web', reason: 'it is not a directory'}
  const view = after(connected(), refused)
  expect(view.codebases).toMatchObject([
    {id: 'cb1', path: '/srv/api', problem: null},
    {id: null, path: '/srv/web', problem: 'it is not a directory'},
  ])
  const again = after(view, {type: 'codebase.registered', codebaseId: 'cb2', name: 'web', path: '/srv/web'})
  expect(again.codebases[1]).toEqual({id: 'cb2', name: 'web', path: '/srv/web', problem: null})
})

test('the log contains events of the configured level, but no agent output', () => {
  const events: EventBody[] = [
    {type: 'notice', level: 'debug', text: 'small'},
    {type: 'notice', level: 'warn', text: 'odd', taskId: 'a'},
    {type: 'broker.changed', isUp: false, reason: 'refused'},
    said('a', 'talk'),
    {type: 'pause.changed', isPaused: true},
  ]
  const view = after(newView(), ...events)
  expect(view.log.items.map(({level, text}) => `${level} ${text}`)).toEqual([
    'warn odd',
    'warn Broker out of reach (refused): tasks come by stream or polling',
    'info Paused: the worker takes no tasks',
  ])
  expect(view.isPaused).toBe(true)
  expect(after({...newView(), logLevel: 'debug'}, ...events).log.items).toHaveLength(4)
  expect(after(newView(), {type: 'stop.requested', step: 'drain', by: 'SIGTERM', hint: 'bye'}).farewell).toBe('bye')
})

test('everything is bounded: tasks, lines, log, history, queue and texts', () => {
  const long = 'x'.repeat(100_000)
  const {tasks, linesOfTask, log, ended, endedWithLines, waiting, chars} = viewLimits
  const lines = after(connected(), ...running('a', long), ...many(linesOfTask * 3, (i) => said('a', `${i}`)))
  expect(lines.tasks[0]?.title.length).toBe(chars)
  expect(lines.tasks[0]?.lines).toMatchObject({dropped: linesOfTask * 2})
  expect(lines.tasks[0]?.lines.items.at(-1)).toBe(`${linesOfTask * 3 - 1}`)
  const text = after(connected(), ...running('a'), said('a', long), said('a', 'l', 'many\n'.repeat(50_000)))
  expect(JSON.stringify(text.tasks).length).toBeLessThan(2000)

  const finishedEvents = many(ended + 50, (i) => [
    ...running(`t${i}`),
    said(`t${i}`, 'hi'),
    finished(`t${i}`, 'failed', long),
  ])
  const history = after(connected(), ...finishedEvents.flat())
  expect(history.ended).toHaveLength(ended)
  expect(history.ended[0]?.id).toBe(`t${ended + 49}`)
  expect(history.ended.filter(({lines}) => lines.items.length > 0)).toHaveLength(endedWithLines)
  expect(history.ended.at(-1)?.lines).toBe(emptyTail)
  expect(history.totals.failed).toBe(ended + 50)
  const notices = many(log * 2, (i): EventBody => ({type: 'notice', level: 'info', text: `${i} ${long}`}))
  const logged = after(newView(), ...notices).log
  expect(logged).toMatchObject({dropped: log})
  expect(logged.items).toHaveLength(log)
  expect(logged.items.every(({text}) => text.length <= chars)).toBe(true)

  const crowd = after(connected(), ...many(tasks * 2, (i) => received(`t${i}`)))
  expect(crowd.tasks).toHaveLength(tasks)
  const queue = many(waiting * 2, (i): EventBody => ({
    type: 'task.waiting',
    taskId: `t${i}`,
    title: long,
    reason: long,
  }))
  expect(after(connected(), ...queue).waiting).toHaveLength(waiting)
  const codebases = many(2000, (i): EventBody => ({type: 'codebase.refused', name: 'n', path: `/${i}`, reason: long}))
  expect(after(connected(), ...codebases).codebases).toHaveLength(viewLimits.codebases)
})

test('an event of an unknown task changes only the log', () => {
  const view = connected()
  const odd = after(view, said('x', 'hi'), {type: 'task.stopping', taskId: 'x', reason: 'r'})
  expect({...odd, log: view.log}).toEqual(view)
})

test('reducing many events at once equals reducing them one by one', () => {
  const activity = (task: string, count: number) => many(count, (i) => said(task, `${task} ${i}`, `${task} ${i}\nmore`))
  const bodies = [
    ...running('a'),
    ...running('b'),
    ...activity('a', 300),
    ...activity('b', 3),
    ...activity('a', 1),
    finished('a'),
  ]
  const events = bodies.map((event, i) => ({at: noon + (i + 1) * 1000, ...event}) as WorkerEvent)
  const one = after(connected(), ...bodies)
  expect(reduceEvents(connected(), events)).toEqual(one)
  expect(one.tasks.map(({lines}) => lines.dropped > 0)).toEqual([true, false])
})
