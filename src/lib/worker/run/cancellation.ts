import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {isNotFound} from '../../client/http.ts'
import type {StopReason} from '../../executor/executor.ts'
import {isFinal, type Task} from '../../protocol/schemas.ts'
import type {ActiveTasks} from './active-task.ts'

/** Why an active task must stop, judged by its state on the control plane. Undefined while it is ours to run. */
export function stopReasonFor(task: Task, attempt: number, workerId: string): StopReason | undefined {
  if (task.status === 'cancelled' || task.cancel_requested_at !== null)
    return {status: 'cancelled', error: 'cancelled on the server'}
  if (task.attempt > 0 && task.attempt !== attempt)
    return {status: 'failed', error: 'the server has given the task to another attempt'}
  if (task.status === 'running' && task.worker_id !== null && task.worker_id !== workerId)
    return {status: 'failed', error: `worker ${task.worker_id} holds the task now`}
  return undefined
}

type CancellationOptions = {client: ControlPlaneClient; workerId: string; runner: ActiveTasks}

/** Handles a cancellation that the control plane pushed. A task that is not active is confirmed as cancelled. */
export function handleCancel(
  {taskId, attempt, reason}: {taskId: string; attempt: number; reason: string},
  {client, workerId, runner}: CancellationOptions,
): void {
  const task = runner.active.find(({id}) => id === taskId)
  // The push concerns an earlier attempt, which has ended here. It arrived late.
  if (task && attempt > 0 && task.attempt > attempt) return
  if (runner.stop(taskId, {status: 'cancelled', error: reason})) return
  if (task) return
  const update = {status: 'cancelled', worker_id: workerId, ...(attempt > 0 ? {attempt} : {})}
  void client.updateStatus(taskId, update).catch(() => {})
}

/** Reads a running task from the control plane and stops it here if it is no longer ours. */
export async function stopIfNotOurs(
  taskId: string,
  {client, workerId, runner}: CancellationOptions,
  signal: AbortSignal,
): Promise<void> {
  const active = runner.active.find(({id}) => id === taskId)
  if (active?.phase !== 'running') return
  try {
    const reason = stopReasonFor(await client.task(taskId, signal), active.attempt, workerId)
    if (reason) runner.stop(taskId, reason)
  } catch (error) {
    if (isNotFound(error)) runner.stop(taskId, {status: 'failed', error: 'the server does not know the task any more'})
  }
}

/** Whether the control plane still waits for a run. If it cannot be asked, it may. */
export async function isStillOurs(
  run: {task_id: string; attempt: number},
  client: Pick<ControlPlaneClient, 'task'>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const {status, attempt} = await client.task(run.task_id, signal)
    return !isFinal(status) && (attempt === 0 || attempt === run.attempt)
  } catch (error) {
    return !isNotFound(error)
  }
}
