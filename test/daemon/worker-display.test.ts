import {expect, test} from 'vitest'
import {systemClock} from '../../src/lib/core/clock.ts'
import {WorkerScreen} from '../../src/lib/daemon/worker-screen.ts'
import {EventBus} from '../../src/lib/events/bus.ts'
import {ViewStore} from '../../src/lib/ui/view/view-store.ts'
import {until} from '../support/scratch.ts'
import {after, connected, finished, running} from '../support/views.ts'

/** A screen whose dashboard ends when `end` says so. */
function screenOf({logsBeside = false} = {}) {
  const lines: string[] = []
  const store = new ViewStore(after(connected(), ...running('a'), finished('a')))
  const end = Promise.withResolvers<void>()
  const bus = new EventBus(systemClock)
  const watchers = {count: 0}
  const watch = () => {
    watchers.count += 1
    return {[Symbol.dispose]: () => void (watchers.count -= 1)}
  }
  const screen = new WorkerScreen(
    {
      write: (text) => lines.push(text),
      dashboard: () => ({closed: end.promise, close: async () => end.resolve()}),
      logsBeside,
    },
    store,
  )
  bus.on((event) => event.type === 'notice' && screen.write(`${event.text}\n`))
  const nothing = async () => {}
  const controls = {cancel: nothing, setPaused: nothing, drain: nothing, leave: () => {}, isDetachable: false}
  return {screen, lines, end, watchers, open: () => screen.open(controls, {watch, emit: bus.emit})}
}

test('log lines are written until the dashboard is shown, and a line at its end says what became of the worker', async () => {
  const {screen, lines, watchers, open} = screenOf()
  screen.write('one\n')
  open()
  screen.write('two\n')
  expect(watchers.count).toBe(1)
  await screen.close()
  await screen.close()
  expect(lines).toEqual(['one\n', 'Worker box-api has stopped; its tasks: 1 completed, 0 failed, 0 cancelled\n'])
  await until(() => watchers.count === 0, 'the queue to be left alone')
})

test('log lines that go elsewhere go on beside the dashboard', async () => {
  const {screen, lines, open} = screenOf({logsBeside: true})
  open()
  screen.write('two\n')
  await screen.close()
  expect(lines).toEqual(['two\n'])
})

test('after a dashboard that has failed there are log lines again, which say so', async () => {
  const {screen, lines, end, open} = screenOf()
  open()
  end.reject(new Error('no terminal'))
  await until(() => lines.length > 0, 'a line')
  screen.write('two\n')
  expect(lines).toEqual(['The dashboard has failed and the worker goes on without: no terminal\n', 'two\n'])
  await screen.close()
})
