import {RESPONSE_ALREADY_SENT} from '@hono/node-server/utils/response'
import type {Hono} from 'hono'
import type {ServerResponse} from 'node:http'
import * as v from 'valibot'
import {limits} from '../protocol/limits.ts'
import {routes} from '../protocol/routes.ts'
import {claimSchema, declineSchema, isFinal, releaseSchema} from '../protocol/schemas.ts'
import type {Connection} from './hub.ts'
import type {Plane} from './plane.ts'
import {Refusal} from './refusal.ts'
import {callingWorker, readJson, type Ctx, type Env} from './requests.ts'
import {wire} from './task-routes.ts'

const codebaseListSchema = v.object({codebases: v.array(v.string())})

/** `/v1/worker/*`: the task stream, and taking, giving back and refusing tasks. */
export function claimRoutes(app: Hono<Env>, plane: Plane): void {
  app.get(routes.taskStream, (c) => {
    const workerId = callingWorker(c)
    const name =
      c.req.query('agent_name') || c.req.header('x-agent-name') || plane.store.worker(workerId)?.name || workerId
    const lists = {codebases: listed(c, 'x-codebases'), capabilities: listed(c, 'x-capabilities')}
    plane.hub.open(c.env.outgoing as ServerResponse, {workerId, name, ...lists})
    return RESPONSE_ALREADY_SENT
  })

  app.post(routes.claim, async (c) => {
    const workerId = callingWorker(c)
    const {task_id: taskId} = await readJson(c, claimSchema)
    const task = await plane.claim(taskId, workerId)
    const answer = {success: true, task_id: taskId, worker_id: workerId, message: 'Task claimed successfully'}
    return c.json({
      ...answer,
      attempt: task.attempt,
      lease_seconds: plane.timings.leaseMs / 1000,
      task: wire(plane, task),
    })
  })

  app.post(routes.release, async (c) => {
    const workerId = callingWorker(c)
    const {task_id: taskId, status, result, error, attempt} = await readJson(c, releaseSchema, limits.statusBody)
    const task = plane.store.task(taskId)
    if (!task || task.worker_id !== workerId) throw new Refusal(404, `Task ${taskId} not claimed by worker ${workerId}`)
    // A release of what is final already says nothing new; one of an unfinished task gives it back.
    if (!isFinal(task.status))
      await plane.report(taskId, {
        worker_id: workerId,
        status: isFinal(status) ? status : 'pending',
        result,
        error,
        attempt,
      })
    return c.json({success: true, task_id: taskId, worker_id: workerId, status, message: 'Task released successfully'})
  })

  app.post(routes.decline, async (c) => {
    const workerId = callingWorker(c)
    const {task_id: taskId} = await readJson(c, declineSchema)
    plane.task(taskId)
    plane.decline(taskId, workerId)
    return c.json({success: true, task_id: taskId, worker_id: workerId})
  })

  app.put('/v1/worker/codebases', async (c) => {
    const workerId = callingWorker(c)
    const connection = plane.hub.get(workerId)
    if (!connection) throw new Refusal(404, `Worker ${workerId} not found (not connected via SSE?)`)
    const {codebases} = await readJson(c, codebaseListSchema)
    connection.codebases.clear()
    for (const id of codebases) connection.codebases.add(id)
    plane.dispatcher.run()
    return c.json({success: true, worker_id: workerId, codebases, message: 'Codebases updated'})
  })

  app.get(routes.connected, (c) => {
    const workers = plane.hub.all().map((connection) => view(plane, connection))
    return c.json({workers, count: workers.length, timestamp: plane.now()})
  })

  app.get(routes.connectedWorker, (c) => {
    const id = c.req.param('worker')
    const connection = plane.hub.get(id)
    if (!connection) throw new Refusal(404, `Worker ${id} not found or not connected`)
    return c.json(view(plane, connection))
  })
}

const listed = (c: Ctx, header: string) =>
  (c.req.header(header) ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')

function view(plane: Plane, connection: Connection) {
  const running = plane.runs.of(connection.workerId)
  return {
    worker_id: connection.workerId,
    agent_name: connection.name,
    connected_at: connection.connectedAt,
    last_heartbeat: connection.lastFrameAt,
    is_busy: running.length > 0,
    current_task_id: running[0]?.taskId ?? null,
    capabilities: [...connection.capabilities],
    codebases: [...connection.codebases],
  }
}
