import type {Context} from 'hono'
import {mayManageTasks} from '../http/auth.ts'
import type {AppEnv} from '../http/app-env.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'
import type {Once} from './task-creation.ts'
import {createTaskOnce} from './task-creation.ts'
import type {TaskInput} from './tasks.ts'

/** Creates a task for whoever asks, if they may; the same request with the same Idempotency-Key finds it again. */
export function requestTask(c: Context<AppEnv>, parts: Parts, input: TaskInput): StoredTask {
  mayManageTasks(c.get('identity'))
  return parts.commits.write(() => createTaskOnce(parts, input, onceFor(c)))
}

/** What a repeated request is known by. */
export const onceFor = (c: Context<AppEnv>): Once => ({
  key: c.req.header('idempotency-key'),
  client: c.get('identity')?.hash ?? '',
})
