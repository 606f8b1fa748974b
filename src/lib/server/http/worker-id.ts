import type {Context} from 'hono'
import type {AppEnv} from './app-env.ts'
import {HttpError} from './http-error.ts'

/** The worker that a request comes from: in the query, or in a header that some worker sends. Throws 400 without one. */
export function workerIdOf(c: Context<AppEnv>): string {
  const id = c.req.query('worker_id') || c.req.header('x-worker-id') || c.req.header('worker_id')
  if (!id) throw new HttpError(400, 'worker_id is required (query param or X-Worker-ID header)')
  return id
}
