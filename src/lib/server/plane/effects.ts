import type {StateEvent} from '../state/events.ts'
import type {EventPlace} from '../store/engine.ts'
import type {Policy} from '../state/state.ts'
import type {Log} from '../streams/activity-lines.ts'
import type {Announcer} from '../streams/announcer.ts'
import type {Hub} from '../streams/hub.ts'
import type {MonitorLog} from '../streams/monitor-log.ts'
import {taskFrame} from '../streams/task-view.ts'

export type EffectOptions = {
  hub: Hub
  monitor: MonitorLog
  announcer: Announcer
  log: Log
  policy: Pick<Policy, 'confirmMs'>
  /** Counts the event. */
  count: (event: StateEvent, place?: EventPlace) => void
}

/** Returns the function that does what an event says, once it is on disk: sends, notifies and logs. */
export const effects =
  ({hub, monitor, announcer, log, policy, count}: EffectOptions) =>
  (event: StateEvent, place?: EventPlace): void => {
    count(event, place)
    switch (event.type) {
      case 'task': {
        const {task, change} = event
        hub.notifyFollowers(task)
        monitor.record(event, place)
        if (place?.isOwn === false) return // the other control plane announces it
        if (change === 'created') announcer.available(task)
        if (change === 'pending') announcer.available({...task, attempt: task.attempt + 1})
        if (change === 'cancelling' || change === 'cancelled') announcer.cancelled(task)
        return
      }
      case 'output':
        hub.notifyFollowers(event.task)
        return monitor.record(event, place)
      case 'question':
        hub.notifyFollowers(event.task)
        monitor.record(event, place)
        if (place?.isOwn !== false) announcer.question(event.task, event.change, event.question.id)
        return
      case 'input': {
        const {workerId, taskId, attempt, input} = event
        return hub.streamOf(workerId)?.send('task_input', {task_id: taskId, attempt, input})
      }
      case 'give': {
        const {task, workerId, status} = event
        hub.notifyFollowers(task)
        const more = status === 'assigned' ? {confirm_ms: policy.confirmMs} : {}
        return hub.streamOf(workerId)?.send('task_available', {...taskFrame(task, status), ...more})
      }
      case 'stop': {
        const {workerId, task, reason} = event
        return hub.streamOf(workerId)?.send('task_cancelled', {task_id: task.id, ...task, reason})
      }
      case 'close-stream': {
        const stream = hub.streamOf(event.workerId)
        return stream?.connection.connectionId === event.connectionId ? stream.close() : undefined
      }
      case 'check-instance': {
        const stream = hub.streamOf(event.workerId)
        if (stream?.connection.connectionId === event.connectionId)
          stream.send('instance_check', {worker_id: event.workerId})
        return
      }
      case 'worker':
      case 'intervention':
        return monitor.record(event, place)
      case 'codebase-removed':
        return hub.codebaseChanged(event.codebaseId)
      case 'log':
        return log(event.line, 'info', {workerId: event.workerId})
    }
  }

/** Describes a failure of an effect. The others still happen. */
export const effectFailure = (error: unknown): string =>
  `bug after a commit: ${error instanceof Error ? error.stack : String(error)}`
