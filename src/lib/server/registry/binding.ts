import type {Context} from 'hono'
import {mayActAs} from '../http/auth.ts'
import type {AppEnv} from '../http/app-env.ts'
import {tokenNameOf} from '../http/peer.ts'
import type {Parts} from '../dispatch/parts.ts'

/**
 * Checks that the token of a request may act for this worker, and binds a worker's token that belongs to no worker yet.
 * Called within the `commits.write` of the request. Throws 403.
 */
export function actAs(
  c: Context<AppEnv>,
  {store, audit}: Parts,
  workerId: string,
  machineId: string | null = null,
): void {
  const isBound = mayActAs(c.get('identity'), workerId, store.registry, {registers: true, machineId})
  if (isBound) audit.record('token.bound', {who: tokenNameOf(c), worker_id: workerId})
}
