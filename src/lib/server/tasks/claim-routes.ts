import type {Hono} from 'hono'
import {routes} from '../../protocol/routes.ts'
import {claimSchema, declineSchema, releaseSchema} from '../../protocol/schemas.ts'
import type {AppEnv} from '../http/app-env.ts'
import {readBody} from '../http/body.ts'
import {tokenNameOf} from '../http/peer.ts'
import {workerIdOf} from '../http/worker-id.ts'
import type {Plane} from '../plane/plane.ts'
import {declineTask} from '../rules/tasks/declines.ts'
import {claimTask, releaseTask} from '../rules/tasks/reports.ts'
import {wireTask} from '../streams/task-view.ts'

/** Routes of workers that claim, confirm, release and decline tasks. */
export function claimRoutes(app: Hono<AppEnv>, {plane}: {plane: Plane}): void {
  app.post(routes.claim, async (c) => {
    const {task_id, attempt} = await readBody(c, claimSchema)
    const worker_id = workerIdOf(c)
    const task = await plane.run(claimTask, {task_id, worker_id, attempt})
    const message = attempt === null ? 'Task claimed successfully' : 'Assignment confirmed'
    const lease_seconds = plane.state.policy.leaseMs / 1000
    const claimed = {success: true, task_id, worker_id, message, attempt: task.attempt, lease_seconds}
    return c.json(attempt === null ? {...claimed, task: wireTask(task)} : claimed)
  })

  app.post(routes.release, async (c) => {
    const body = await readBody(c, releaseSchema)
    const worker_id = workerIdOf(c)
    const task = await plane.run(releaseTask, {...body, worker_id, by: tokenNameOf(c)})
    const message = 'Task released successfully'
    return c.json({success: true, task_id: task.id, worker_id, status: task.status, message})
  })

  app.post(routes.decline, async (c) => {
    const body = await readBody(c, declineSchema)
    const worker_id = workerIdOf(c)
    await plane.run(declineTask, {...body, worker_id, only: c.get('only')})
    return c.json({success: true, task_id: body.task_id, worker_id})
  })
}
