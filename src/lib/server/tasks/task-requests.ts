import {randomUUID} from 'node:crypto'
import type {Context} from 'hono'
import type {AppEnv} from '../http/app-env.ts'
import {tokenNameOf} from '../http/peer.ts'
import type {Plane} from '../plane/plane.ts'
import {createTask, type NewTask, type TaskInput} from '../rules/tasks/create-task.ts'
import type {StoredTask} from '../state/records.ts'

/** Creates a task. A repeated request with the same key (default: Idempotency-Key) returns the same task. */
export const requestTask = (
  c: Context<AppEnv>,
  plane: Plane,
  input: TaskInput,
  key = c.req.header('idempotency-key'),
): Promise<StoredTask> => plane.run(createTask, {...newTaskOf(c), key, input})

/** What a task is created with, besides its input: who asks, and what makes it new or a repetition. */
export const newTaskOf = (c: Context<AppEnv>): Omit<NewTask, 'input'> => ({
  id: randomUUID(),
  key: c.req.header('idempotency-key'),
  client: c.get('identity')?.hash ?? '',
  by: tokenNameOf(c),
})
