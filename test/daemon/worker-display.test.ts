import {expect, test} from 'vitest'
import {systemClock} from '../../src/lib/core/clock.ts'
import {WorkerDisplay} from '../../src/lib/daemon/worker-display.ts'
import {EventBus} from '../../src/lib/events/bus.ts'
import {ViewStore} from '../../src/lib/ui/view/view-store.ts'
import {until} from '../support/scratch.ts'
import {after, connected, finished, running} from '../support/views.ts'

/** A display whose dashboard closes when `end` settles. */
function displayOf({isLogRedirected = false} = {}) {
  const lines: string[] = []
  const store = new ViewStore(after(connected(), ...running('a'), finished('a')))
  const end = Promise.withResolvers<void>()
  const bus = new EventBus(systemClock)
  const watchers = {count: 0}
  const watch = () => {
    watchers.count += 1
    return {[Symbol.dispose]: () => void (watchers.count -= 1)}
  }
  const display = new WorkerDisplay(
    {
      write: (text) => lines.push(text),
      dashboard: () => ({closed: end.promise, close: async () => end.resolve()}),
      isLogRedirected,
    },
    store,
  )
  bus.on((event) => event.type === 'notice' && display.write(`${event.text}\n`))
  const nothing = async () => {}
  const create = async () => ''
  const controls = {
    cancel: nothing,
    create,
    say: create,
    setPaused: nothing,
    drain: nothing,
    leave: () => {},
    isDetachable: false,
  }
  const open = () => {
    display.open(controls, bus.emit)
    display.watchQueue(watch)
  }
  return {display, lines, end, watchers, open}
}

test('log lines are written until the dashboard opens, and a summary line is written when it closes', async () => {
  const {display, lines, watchers, open} = displayOf()
  display.write('one\n')
  open()
  display.write('two\n')
  expect(watchers.count).toBe(1)
  await display.close()
  await display.close()
  expect(lines).toEqual(['one\n', 'Worker box-api stopped. Tasks: 1 completed, 0 failed, 0 cancelled\n'])
  await until(() => watchers.count === 0, 'the queue to be left alone')
})

test('redirected log lines continue while the dashboard is open', async () => {
  const {display, lines, open} = displayOf({isLogRedirected: true})
  open()
  display.write('two\n')
  await display.close()
  expect(lines).toEqual(['two\n'])
})

test('if the dashboard fails, log lines continue and report the failure', async () => {
  const {display, lines, end, open} = displayOf()
  open()
  end.reject(new Error('no terminal'))
  await until(() => lines.length > 0, 'a line')
  display.write('two\n')
  expect(lines).toEqual(['The dashboard failed. The worker continues without it: no terminal\n', 'two\n'])
  await display.close()
})
