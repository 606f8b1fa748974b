import type {StoredInput} from '../../protocol/task-input.ts'
import type {ControlPlaneClient} from '../control-plane.ts'
import {RefusedError} from '../http.ts'

/**
 * What was said to a task, oldest first. None from a server without inputs, and with the token of a worker that does not
 * hold the task.
 */
export async function readInputs(
  client: ControlPlaneClient,
  taskId: string,
  signal?: AbortSignal,
): Promise<StoredInput[]> {
  try {
    return await client.inputs(taskId, signal)
  } catch (error) {
    if (error instanceof RefusedError && (error.hasNoRoute || [403, 409].includes(error.status))) return []
    throw error
  }
}
