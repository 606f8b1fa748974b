import {systemClock} from '../core/clock.ts'
import {ExpectedError} from '../core/errors.ts'
import {isFinal, type Task} from '../protocol/schemas.ts'
import type {ControlPlaneClient} from './control-plane.ts'
import {watchTask} from './watch-task.ts'

/**
 * Cancels a task and verifies it by reading the task. The existing server accepts a cancellation without any effect, so
 * a report changes its record instead. Throws ExpectedError (1) if the task is not cancelled, or has ended otherwise.
 */
export async function cancelTask(
  client: ControlPlaneClient,
  id: string,
  wait: boolean,
  signal: AbortSignal,
): Promise<Task> {
  await client.cancelTask(id, signal)
  let task = await client.task(id, signal)
  // Repeated, because a concurrent `running` report of the worker may replace ours.
  for (let tries = 0; tries < 3 && task.cancel_requested_at === null && !isFinal(task.status); tries++) {
    await client.updateStatus(id, {status: 'cancelled', worker_id: 'cli'}, signal)
    task = await client.task(id, signal)
  }

  if (wait && !isFinal(task.status)) task = await watchTask(id, {client, clock: systemClock, signal})
  if (task.status === 'cancelled' || (task.cancel_requested_at !== null && !isFinal(task.status))) return task
  throw new ExpectedError(`Task ${id} is not cancelled: it is ${task.status}.`, {code: 'NOT_CANCELLED', exit: 'failed'})
}
