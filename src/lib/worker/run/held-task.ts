import {isAbsent} from '../../client/http.ts'
import type {StopReason} from '../../executor/executor.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {TaskRunner} from './task-runner.ts'
import type {WorkerOptions} from '../worker-options.ts'

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

/** The server wants a task ended. One that is not here is confirmed as ended: nothing of it runs. */
export function onCancel(
  taskId: string,
  attempt: number,
  reason: string,
  {client, workerId}: WorkerOptions,
  runner: TaskRunner,
): void {
  const held = runner.active.find(({id}) => id === taskId)
  // Of a former attempt, which is over here: the news of it came late.
  if (held && attempt > 0 && held.attempt > attempt) return
  if (runner.stop(taskId, {status: 'cancelled', error: reason})) return
  if (held) return
  const update = {status: 'cancelled', worker_id: workerId, ...(attempt > 0 ? {attempt} : {})}
  void client.updateStatus(taskId, update).catch(() => {})
}

/** Ends a task that runs here if it is not ours to run any more, by what the server says of it now. */
export async function lookUp(
  taskId: string,
  {client, workerId}: WorkerOptions,
  runner: TaskRunner,
  signal: AbortSignal,
): Promise<void> {
  const held = runner.active.find(({id}) => id === taskId)
  if (held?.phase !== 'running') return
  try {
    const reason = reasonToStop(await client.task(taskId, signal), held.attempt, workerId)
    if (reason) runner.stop(taskId, reason)
  } catch (error) {
    if (isAbsent(error)) runner.stop(taskId, {status: 'failed', error: 'the server does not know the task any more'})
  }
}
