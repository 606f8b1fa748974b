import {compactHeap} from '../core/compact-heap.ts'
import type {EventBus} from '../events/bus.ts'
import type {View} from '../ui/view/view.ts'

/** The worker counts as idle after this time without a task. */
const idleMs = 10_000

/** Compacts the heap each time the worker becomes idle, until disposed. */
export function compactWhenIdle(bus: EventBus, view: () => View): Disposable {
  let timer: NodeJS.Timeout | undefined
  const compactIfIdle = () => {
    if (view().tasks.length === 0) compactHeap()
  }
  const subscription = bus.on(({type}) => {
    if (type === 'task.received') clearTimeout(timer)
    if (type !== 'task.reported' && type !== 'task.refused' && type !== 'task.dropped') return
    clearTimeout(timer)
    timer = setTimeout(compactIfIdle, idleMs).unref()
  })
  return {
    [Symbol.dispose]() {
      clearTimeout(timer)
      subscription[Symbol.dispose]()
    },
  }
}
