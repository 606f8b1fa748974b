import type {LogLevel} from '../../events/log-line.ts'
import {questionChange, type Activity} from './activity.ts'

/** Writes a line to the log of the control plane. */
export type Log = (text: string, level?: LogLevel, about?: {taskId?: string; workerId?: string}) => void

/** Logs what happens to tasks and to the streams of workers. `nameOf` gives the name of a worker or a codebase by id. */
export function logActivity(activity: Activity, log: Log, nameOf: (id: string) => string): void {
  if (activity.type === 'worker') {
    const {change, name, workerId, hostname} = activity
    log(`Worker ${name} (${workerId}) ${change}${hostname ? `, host ${hostname}` : ''}`, 'info', {workerId})
  }

  if (activity.type === 'question') log(`Task ${questionChange(activity)}`, 'info', {taskId: activity.task.id})
  if (activity.type !== 'task') return
  const isBad = activity.change === 'failed' || activity.change === 'lost'
  log(taskLine(activity, nameOf), isBad ? 'warn' : 'info', {taskId: activity.task.id})
}

function taskLine({task, change, error, ms}: Activity & {type: 'task'}, nameOf: (id: string) => string): string {
  const worker = task.worker_id === null ? 'no worker' : `worker ${nameOf(task.worker_id)}`
  const after = ms === undefined ? '' : ` after ${(ms / 1000).toFixed(1)} s`
  switch (change) {
    case 'created':
      return `Task created for codebase ${nameOf(task.codebase_id)}: ${task.title}`
    case 'running':
      return `Task runs on ${worker}${task.attempt > 1 ? `, attempt ${task.attempt}` : ''}`
    case 'completed':
    case 'cancelled':
      return `Task ${change}${after}`
    case 'failed':
      return `Task failed${after}: ${error || 'no reason given'}`
    case 'pending':
      return `Task returned to the queue by ${worker}`
    case 'cancelling':
      return `Task is to be cancelled by ${worker}`
    case 'lost':
      return `Task has lost ${worker}`
  }
}
