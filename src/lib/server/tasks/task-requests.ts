import type {Context} from 'hono'
import type {AppEnv} from '../http/app-env.ts'
import {tokenNameOf} from '../http/peer.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'
import type {IdempotencyKey} from './task-creation.ts'
import {createTaskOnce} from './task-creation.ts'
import type {TaskInput} from './tasks.ts'

/** Creates a task. A repeated request with the same Idempotency-Key returns the same task. */
export function requestTask(c: Context<AppEnv>, parts: Parts, input: TaskInput): StoredTask {
  return parts.commits.write(() => createTaskOnce(parts, input, idempotencyKeyOf(c)))
}

/** Identifies a repeated request. */
export const idempotencyKeyOf = (c: Context<AppEnv>): IdempotencyKey => ({
  key: c.req.header('idempotency-key'),
  client: c.get('identity')?.hash ?? '',
  by: tokenNameOf(c),
})
