import type {Hono} from 'hono'
import {routes} from '../../protocol/routes.ts'
import {claimSchema, declineSchema, releaseSchema} from '../../protocol/schemas.ts'
import {mayRead} from '../dispatch/boundary.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {AppEnv} from '../http/app-env.ts'
import {readBody} from '../http/body.ts'
import {tokenNameOf} from '../http/peer.ts'
import {workerIdOf} from '../http/worker-id.ts'
import {wireTask} from '../streams/task-view.ts'
import {recordContact} from './heartbeats.ts'
import {declineTask} from './registration-tasks.ts'
import {claimTask, releaseTask, requireTask} from './tasks.ts'

/** Routes of workers that claim, release and decline tasks. */
export function claimRoutes(app: Hono<AppEnv>, parts: Parts): void {
  const {commits, timings} = parts

  app.post(routes.claim, async (c) => {
    const {task_id} = await readBody(c, claimSchema)
    const worker_id = workerIdOf(c)
    const task = commits.write(() => {
      recordContact(parts, worker_id)
      return claimTask(parts, task_id, worker_id)
    })
    const message = 'Task claimed successfully'
    const lease_seconds = timings.leaseMs / 1000
    return c.json({
      success: true,
      task_id,
      worker_id,
      message,
      task: wireTask(task),
      attempt: task.attempt,
      lease_seconds,
    })
  })

  app.post(routes.release, async (c) => {
    const body = await readBody(c, releaseSchema)
    const worker_id = workerIdOf(c)
    const task = commits.write(() => {
      recordContact(parts, worker_id)
      return releaseTask(parts, {...body, worker_id, by: tokenNameOf(c)})
    })
    const message = 'Task released successfully'
    return c.json({success: true, task_id: task.id, worker_id, status: task.status, message})
  })

  app.post(routes.decline, async (c) => {
    const {task_id, reason, retry_ms} = await readBody(c, declineSchema)
    const worker_id = workerIdOf(c)
    commits.write(() => {
      recordContact(parts, worker_id)
      const task = requireTask(parts, task_id)
      const only = c.get('only')
      if (task.status === 'pending' && (only === undefined || mayRead(parts, only, task)))
        declineTask(parts, task, worker_id, {reason: reason.slice(0, 500), retryMs: retry_ms})
    })
    return c.json({success: true, task_id, worker_id})
  })
}
