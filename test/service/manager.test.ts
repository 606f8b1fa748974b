import {readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import {systemClock} from '../../src/lib/core/clock.ts'
import {EventBus} from '../../src/lib/events/bus.ts'
import type {Phase, WorkerEvent} from '../../src/lib/events/worker-event.ts'
import {reportToManager} from '../../src/lib/service/manager.ts'
import {scratchFolder, until} from '../support/scratch.ts'

/** A reporter whose fake systemd-notify records its arguments. It takes a moment, like the real one. */
function manager(env: Record<string, string>, exit = 0) {
  const scratch = scratchFolder()
  onTestFinished(() => scratch[Symbol.dispose]())
  const log = join(scratch.path, 'told')
  const program = join(scratch.path, 'systemd-notify')
  writeFileSync(log, '')
  writeFileSync(
    program,
    `#!/bin/sh\nsleep 0.05\nprintf '%s;' "$NOTIFY_SOCKET" "$@" >>${log}; echo >>${log}\nexit ${exit}\n`,
    {mode: 0o755},
  )
  const bus = new EventBus(systemClock)
  const events: WorkerEvent[] = []
  bus.on((event) => events.push(event))
  const report = reportToManager(bus, {env: {NOTIFY_SOCKET: '/run/notify', ...env}, pid: 42, program})
  return {
    bus,
    events,
    report,
    to: (from: Phase, to: Phase) => bus.emit({type: 'phase.changed', from, to}),
    told: () => readFileSync(log, 'utf8').split('\n').slice(0, -1),
  }
}

test('it notifies systemd of readiness, status and stopping', async () => {
  const {bus, to, told, report} = manager({})
  to('idle', 'starting')
  await until(() => told().length === 1, 'the first word')
  to('starting', 'running')
  bus.emit({type: 'link.changed', link: 'stream', reason: ''})
  await until(() => told().length === 2, 'the second')
  bus.emit({type: 'task.session', taskId: 't', sessionId: 's'})
  to('running', 'draining')
  await report[Symbol.asyncDispose]()
  expect(told()).toEqual([
    '/run/notify;STATUS=Starting: registering with the server;',
    '/run/notify;READY=1;STATUS=0 tasks run; connected by stream;',
    '/run/notify;STOPPING=1;STATUS=Draining: 0 tasks run;',
  ])
})

test('values that change during a notification are sent together afterwards, newest value only', async () => {
  const {bus, to, told, report} = manager({})
  to('idle', 'starting')
  await Promise.resolve()
  await Promise.resolve()
  to('starting', 'running')
  for (const taskId of ['a', 'b', 'c'])
    bus.emit({type: 'task.started', taskId, attempt: 1, title: '', path: '/', agent: 'build', pid: 1})
  bus.emit({type: 'task.finished', taskId: 'b', status: 'completed', ms: 1, error: null, cost: 0})
  await report[Symbol.asyncDispose]()
  expect(told()).toEqual([
    '/run/notify;STATUS=Starting: registering with the server;',
    '/run/notify;READY=1;STATUS=2 tasks run;',
  ])
})

test('the watchdog is notified at a third of its interval, and not while the event loop is blocked', async () => {
  const {to, told, report} = manager({WATCHDOG_USEC: '600000', WATCHDOG_PID: '42'})
  const signs = () => told().filter((line) => line.includes('WATCHDOG=1')).length
  await until(() => signs() >= 2, 'signs of life')
  // oxlint-disable-next-line no-empty -- a blocked event loop is the point
  for (const end = Date.now() + 700; Date.now() < end;) {}
  const before = signs()
  expect(before).toBeLessThanOrEqual(3)
  await until(() => signs() > before, 'signs of life afterwards')
  to('idle', 'starting')
  await until(() => told().some((line) => /WATCHDOG=1;EXTEND_TIMEOUT_USEC=60000000/.test(line)), 'more time to start')
  await report[Symbol.asyncDispose]()
})

test('the watchdog of another process is not notified', async () => {
  const {to, told, report} = manager({WATCHDOG_USEC: '30000', WATCHDOG_PID: '41'})
  const phases: Phase[] = ['idle', 'starting', 'running', 'draining', 'stopping']
  for (const [index, phase] of phases.slice(1).entries()) {
    to(phases[index] ?? 'idle', phase)
    // Each takes longer than a third of the watchdog interval.
    await until(() => told().length === index + 1, phase)
  }

  await report[Symbol.asyncDispose]()
  expect(told().join()).not.toContain('WATCHDOG')
})

test('without a service manager no program is run', async () => {
  const {to, told, report} = manager({NOTIFY_SOCKET: ''})
  to('idle', 'starting')
  await report[Symbol.asyncDispose]()
  expect(told()).toEqual([])
})

test('a failed notification is logged as an error once', async () => {
  const {to, events, report} = manager({}, 1)
  to('idle', 'starting')
  await until(() => events.some(({type}) => type === 'notice'), 'the notice')
  to('starting', 'running')
  await report[Symbol.asyncDispose]()
  const notices = events.flatMap((event) => (event.type === 'notice' ? [event.text] : []))
  expect(notices).toEqual([expect.stringMatching(/^Cannot notify systemd .*systemd-notify ended with 1$/)])
})
