import type {StopReason} from '../executor/executor.ts'
import type {Task} from '../protocol/schemas.ts'

/** Why a task that runs here must end, by what the server says of it now; undefined while it is ours to run. */
export function reasonToStop(task: Task, attempt: number, workerId: string): StopReason | undefined {
  if (task.status === 'cancelled' || task.cancel_requested_at !== null)
    return {status: 'cancelled', error: 'cancelled on the server'}
  if (task.attempt > 0 && task.attempt !== attempt)
    return {status: 'failed', error: 'the server has given the task to another attempt'}
  if (task.status === 'running' && task.worker_id !== null && task.worker_id !== workerId)
    return {status: 'failed', error: `worker ${task.worker_id} holds the task now`}
  return undefined
}
