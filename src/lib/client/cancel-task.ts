import {systemClock} from '../core/clock.ts'
import {ExpectedError} from '../core/errors.ts'
import {isFinal, type Task} from '../protocol/schemas.ts'
import type {ControlPlaneClient} from './control-plane.ts'
import {watchTask} from './watch-task.ts'

/**
 * Asks for a task to be cancelled and believes only what it then reads: the existing server says yes to anything and
 * does nothing, so its record is changed by a report instead. Throws ExpectedError (1) when the task is still not
 * cancelled, or has ended otherwise.
 */
export async function cancelTask(
  client: ControlPlaneClient,
  id: string,
  wait: boolean,
  signal: AbortSignal,
): Promise<Task> {
  await client.cancelTask(id, signal)
  let task = await client.task(id, signal)
  // More than once, as a report of its worker that it runs may cross ours and win.
  for (let tries = 0; tries < 3 && task.cancel_requested_at === null && !isFinal(task.status); tries++) {
    await client.updateStatus(id, {status: 'cancelled', worker_id: 'cli'}, signal)
    task = await client.task(id, signal)
  }

  if (wait && !isFinal(task.status)) task = await watchTask(id, {client, clock: systemClock, signal})
  if (task.status === 'cancelled' || (task.cancel_requested_at !== null && !isFinal(task.status))) return task
  throw new ExpectedError(`Task ${id} is not cancelled: it is ${task.status}.`, {code: 'NOT_CANCELLED', exit: 'failed'})
}
