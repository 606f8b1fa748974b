import type {Clock} from '../../core/clock.ts'
import type {ActiveTask} from './active-task.ts'

export type StateReportsOptions = {
  active: () => readonly ActiveTask[]
  /** Sends a heartbeat, which contains the states of all active tasks. */
  heartbeat: () => void
  clock: Clock
  signal: AbortSignal
}

/** At most one heartbeat in this time, however many tasks there are. */
const intervalMs = 1500
/** A first state that ended sooner is not worth a request. */
const lastedMs = 1000

/**
 * Returns the function to call when an agent does something else. States that last are sent to the control plane in a
 * heartbeat, together for all tasks. So a task of many short steps costs no request of its own. A start is not sent: a
 * client knows it from the task.
 */
export function stateReports({active, heartbeat, clock, signal}: StateReportsOptions): () => void {
  const sent = new WeakMap<ActiveTask, string>()
  let isScheduled = false
  const keyOf = ({state}: ActiveTask) => JSON.stringify(state)
  const isUnsent = (task: ActiveTask) =>
    task.state !== undefined && task.state.state !== 'starting' && sent.get(task) !== keyOf(task)

  const send = () => {
    isScheduled = false
    const unsent = active().filter((task) => task.phase === 'running' && isUnsent(task))
    if (signal.aborted || unsent.length === 0) return
    const isDue = (task: ActiveTask) => sent.has(task) || clock.now() - (task.state?.since ?? 0) >= lastedMs
    if (!unsent.some(isDue)) return schedule()
    for (const task of unsent) sent.set(task, keyOf(task))
    heartbeat()
  }
  const schedule = () => {
    if (isScheduled) return
    isScheduled = true
    void clock.sleep(intervalMs, signal).then(send)
  }
  return schedule
}
