import {randomUUID} from 'node:crypto'
import type {CreateTask, Task} from '../protocol/schemas.ts'
import type {ControlPlaneClient} from './control-plane.ts'
import {RefusedError, UnreachableError} from './http.ts'

export type Created = {task: Task; /** Said to the user: what was lost on the way. */ note?: string}

/**
 * Creates a task. The existing server answers this with 500 and stores nothing, always; its other route works, at the
 * price of title and priority. A lost answer is asked for again with the same key, so that there is one task.
 */
export async function createTask(
  client: ControlPlaneClient,
  codebaseId: string,
  task: CreateTask,
  signal: AbortSignal,
): Promise<Created> {
  const key = randomUUID()
  try {
    return {task: await insist(() => client.createTask(codebaseId, task, key, signal), signal)}
  } catch (error) {
    if (!(error instanceof RefusedError) || error.status !== 500 || !error.plain) throw error
    const body = {
      prompt: task.prompt,
      agent: task.agent_type ?? 'build',
      model: task.model ?? null,
      metadata: task.metadata ?? {},
    }
    const id = await client.triggerTask(codebaseId, body, signal)
    return {
      task: await client.task(id, signal),
      note: 'This server cannot create tasks with a title or a priority; the task was created without them.',
    }
  }
}

/** Our own server knows the key; of another, a connection that was never made is all that may be tried again. */
async function insist<T>(step: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await step()
    } catch (error) {
      const refused = error instanceof UnreachableError && /refused/.test(error.message)
      if (!refused || tries >= 3 || signal.aborted) throw error
      await new Promise((resolve) => setTimeout(resolve, 300 * tries))
    }
  }
}
