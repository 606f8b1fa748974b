import {randomUUID} from 'node:crypto'
import {ExpectedError} from '../core/errors.ts'
import type {CreateTask, Task} from '../protocol/schemas.ts'
import {signatureKey} from '../signing/task-claims.ts'
import type {ControlPlaneClient} from './control-plane.ts'
import {RefusedError, UnreachableError} from './http.ts'

export type Created = {task: Task; /** For the user: what was lost. */ note?: string}

/**
 * Creates a task. The existing server always answers this route with 500 and stores nothing. Its other route works, but
 * loses title and priority. Retries use the same idempotency key, so that only one task is created.
 */
export async function createTask(
  client: ControlPlaneClient,
  codebaseId: string,
  task: CreateTask,
  signal: AbortSignal,
): Promise<Created> {
  const key = randomUUID()
  try {
    return {task: await retryConnection(() => client.createTask(codebaseId, task, key, signal), signal)}
  } catch (error) {
    if (!(error instanceof RefusedError) || error.status !== 500 || !error.plain) throw error
    if (task.metadata?.[signatureKey] !== undefined) throw cannotSign(error)
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

/** The title is signed, too, and the other route would lose it. */
const cannotSign = (cause: unknown) =>
  new ExpectedError('This server cannot create signed tasks: it would change them.', {
    code: 'CANNOT_SIGN',
    exit: 'refused',
    suggestions: ['Create the task with --no-sign, or use the control plane of this program: a2a-worker serve'],
    cause,
  })

/** Retries only refused connections: not every server knows the idempotency key. */
async function retryConnection<T>(step: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await step()
    } catch (error) {
      const isRefused = error instanceof UnreachableError && /refused/.test(error.message)
      if (!isRefused || tries >= 3 || signal.aborted) throw error
      await new Promise((resolve) => setTimeout(resolve, 300 * tries))
    }
  }
}
