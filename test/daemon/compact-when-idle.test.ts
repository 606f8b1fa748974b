import {getHeapStatistics} from 'node:v8'
import {expect, onTestFinished, test, vi} from 'vitest'
import {systemClock} from '../../src/lib/core/clock.ts'
import {compactHeap} from '../../src/lib/core/compact-heap.ts'
import {compactWhenIdle} from '../../src/lib/daemon/compact-when-idle.ts'
import {EventBus} from '../../src/lib/events/bus.ts'
import {ViewStore} from '../../src/lib/ui/view/view-store.ts'
import {finished, newView, received} from '../support/views.ts'

const megabytes = () => getHeapStatistics().total_heap_size / 1024 ** 2

/** Grows the heap with garbage. */
function work(): void {
  const kept = Array.from({length: 100}, () => Array.from({length: 100_000}, (_, i) => i + 0.5))
  kept.length = 0
}

test('the heap is compacted once the worker is idle, and not while a task is active', () => {
  vi.useFakeTimers()
  onTestFinished(() => void vi.useRealTimers())
  const bus = new EventBus(systemClock)
  const store = new ViewStore(newView())
  bus.on(store.push)
  using _rest = compactWhenIdle(bus, store.get)
  compactHeap()
  const before = megabytes()
  work()
  const busy = megabytes()
  expect(busy).toBeGreaterThan(before + 40)

  for (const id of ['a', 'b']) bus.emit(received(id))
  bus.emit(finished('a'))
  bus.emit({type: 'task.reported', taskId: 'a', status: 'completed'})
  vi.advanceTimersByTime(60_000)
  expect(megabytes()).toBeGreaterThan(before + 40)

  bus.emit({type: 'task.reported', taskId: 'b', status: 'completed'})
  vi.advanceTimersByTime(9000)
  expect(megabytes()).toBeGreaterThan(before + 40)
  vi.advanceTimersByTime(1000)
  expect(megabytes()).toBeLessThan(before + 10)
})
