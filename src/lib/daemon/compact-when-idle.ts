import {compactHeap} from '../core/compact-heap.ts'
import type {EventBus} from '../events/bus.ts'
import type {View} from '../ui/view/view.ts'

/** After so long without a task the worker rests. */
const idleMs = 10_000

/** Gives back what work needed once the worker rests, until it is disposed. */
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
