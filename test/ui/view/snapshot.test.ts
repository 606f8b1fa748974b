import * as v from 'valibot'
import {expect, test} from 'vitest'
import {workerStatusSchema} from '../../../src/lib/control/messages.ts'
import {statusFromView, viewFromStatus} from '../../../src/lib/ui/view/snapshot.ts'
import {workerDetails} from '../../../src/lib/ui/text/worker-view.ts'
import {after, connected, finished, newView, noon, running, said} from '../../support/views.ts'

const facts = {
  pid: 1,
  version: '1',
  free: 3,
  worker_id: 'w1',
  server: 'http://plane.test',
  disk: null,
  containment: null,
  agents: [],
}
/** The status as the socket transfers it. */
const sent = (status: unknown) => v.parse(workerStatusSchema, JSON.parse(JSON.stringify(status)))

test('a view restored from the status equals the view of the worker', () => {
  const view = after(
    connected(),
    ...running('a'),
    ...running('b'),
    said('a', 'one'),
    {type: 'task.state', taskId: 'a', state: 'tool', what: 'bash npm test', since: noon - 3000},
    finished('b', 'failed', 'no'),
    {type: 'task.refused', taskId: 'b', reason: 'Task b not found', kept: null},
    {type: 'codebase.refused', name: 'web', path: '/srv/web', reason: 'gone'},
    {type: 'task.waiting', taskId: 'c', title: 'C', reason: 'no slot is free', path: '/srv/api'},
    {type: 'pause.changed', isPaused: true},
    {type: 'stop.requested', step: 'drain', by: 'SIGTERM', hint: 'bye'},
  )
  const status = sent(statusFromView(view, facts, noon + 10_000))
  expect(viewFromStatus(status, 0)).toEqual(view)
  expect(workerDetails(status, noon)).toContain('(running bash npm test, 3 s)')
  expect(workerDetails(status, noon)).toContain('reports refused by the server\n  b  failed  Task b not found')
})

test('the status contains only the newest output, log and history, within limits', () => {
  const talk = Array.from({length: 200}, (_, i) => said('a', `${i} ${'x'.repeat(400)}`))
  const tasks = Array.from({length: 100}, (_, i) => [
    ...running(`t${i}`),
    ...talk.map((e) => ({...e, taskId: `t${i}`})),
  ])
  const view = after(connected(), ...tasks.flat(), ...tasks.map((_, i) => finished(`t${i}`)))
  const status = sent(statusFromView(view, facts, noon))
  expect(JSON.stringify(status).length).toBeLessThan(500_000)
  expect(status.tasks).toHaveLength(100)
  const {lines} = viewFromStatus(status, 0).tasks[0] ?? {}
  expect(lines?.items.at(-1)).toMatch(/^199 /)
  expect((lines?.dropped ?? 0) + (lines?.items.length ?? 0)).toBe(200)
  expect(status.ended).toHaveLength(30)
  expect(status.log.items).toHaveLength(100)
})

test('a task declined a while ago is no longer listed as waiting', () => {
  const view = after(connected(), {type: 'task.waiting', taskId: 'c', title: 'C', reason: 'no slot is free'})
  expect(statusFromView(view, facts, noon + 30_000).waiting).toHaveLength(1)
  expect(statusFromView(view, facts, noon + 120_000).waiting).toEqual([])
})

test('a nearly full disk is visible in restored views and in live views', () => {
  const disk = {
    path: '/s',
    free: 5,
    freeInodes: null,
    minimum: 10,
    is_low: true,
    free_inodes: null,
    runs: {tasks: 1, bytes: 2},
  }
  const view = after(connected(), {
    type: 'disk.changed',
    isLow: true,
    path: '/s',
    free: 5,
    freeInodes: null,
    minimum: 10,
    wanted: 11,
  })
  expect(view.isDiskLow).toBe(true)
  expect(viewFromStatus(sent(statusFromView(view, {...facts, disk}, noon)), 0)).toEqual(view)
  const again = after(view, {
    type: 'disk.changed',
    isLow: false,
    path: '/s',
    free: 15,
    freeInodes: null,
    minimum: 10,
    wanted: 11,
  })
  expect(again.isDiskLow).toBe(false)
})

test('fields that an older worker does not send get defaults', () => {
  const old = {
    ...facts,
    name: 'w',
    phase: 'running',
    link: 'stream',
    slots: 2,
    codebases: [{id: 'cb', path: '/srv/api'}],
    tasks: [{id: 'a', title: 'A', attempt: 1, phase: 'running', codebase: '/srv/api', since: 5, session_id: null}],
  }
  expect(viewFromStatus(sent(old), 7)).toMatchObject({
    link: {value: 'stream', since: 7},
    codebases: [{id: 'cb', name: '/srv/api', problem: null}],
    tasks: [{id: 'a', lines: {dropped: 0, items: []}}],
    totals: {completed: 0, cost: 0},
  })
})

test('an attached dashboard too shows what a start waits for', () => {
  const view = after(newView(), {type: 'startup.changed', step: 'asking OpenCode for its version'})
  expect(viewFromStatus(sent(statusFromView(view, facts, noon)), 0).startup).toEqual(view.startup)
  expect(after(view, {type: 'phase.changed', from: 'idle', to: 'starting'}).startup).toEqual(view.startup)
  expect(after(view, {type: 'phase.changed', from: 'starting', to: 'running'}).startup).toBeNull()
})
