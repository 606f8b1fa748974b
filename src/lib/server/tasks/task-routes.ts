import type {Context, Hono} from 'hono'
import {limits} from '../../protocol/limits.ts'
import {routes} from '../../protocol/routes.ts'
import {createTaskSchema, retrySchema, statusUpdateSchema, triggerSchema} from '../../protocol/schemas.ts'
import {mayActAs} from '../http/auth.ts'
import {readBody} from '../http/body.ts'
import type {AppEnv} from '../http/app-env.ts'
import {addressOf, isPythonWorker, tokenNameOf} from '../http/peer.ts'
import {HttpError, notFound} from '../http/http-error.ts'
import {nextCursorHeader, orderHeader} from '../http/paging.ts'
import type {Plane} from '../plane/plane.ts'
import {bindingsIn} from '../rules/registry/binding.ts'
import {sharedCodebasesOf} from '../rules/dispatch/boundary.ts'
import {pollAnonymously, pollTasks} from '../rules/tasks/polls.ts'
import {cancelTask, reportStatus, retryTask} from '../rules/tasks/reports.ts'
import {requireTask} from '../rules/dispatch/required.ts'
import {isPseudoCodebase} from '../rules/dispatch/roster.ts'
import type {StoredTask} from '../state/records.ts'
import {taskOrders, type TaskOrder} from '../store/views.ts'
import {listTasks, tasksById} from './task-lists.ts'
import {requestTask} from './task-requests.ts'
import {wireTask} from '../streams/task-view.ts'
import {agentStateOf, questionsOf, waitingReason} from './waiting.ts'

/** Routes of tasks: clients create and cancel them, workers report on them, both read them. */
export function taskRoutes(app: Hono<AppEnv>, {plane}: {plane: Plane}): void {
  creation(app, plane)
  reading(app, plane)
  changes(app, plane)
}

function creation(app: Hono<AppEnv>, plane: Plane): void {
  app.post(routes.codebaseTasks, async (c) => {
    const body = await readBody(c, createTaskSchema)
    const task = await requestTask(c, plane, {...body, codebase_id: c.req.param('codebase')})
    return c.json({success: true, task: wireTask(task)})
  })

  app.post(routes.trigger, async (c) => {
    const {prompt, agent, model, files, metadata} = await readBody(c, triggerSchema)
    const codebase_id = c.req.param('codebase')
    const title = prompt.length > 80 ? `${prompt.slice(0, 80)}...` : prompt
    const task = await requestTask(c, plane, {
      codebase_id,
      title,
      prompt,
      agent_type: agent,
      metadata: {model, files, ...metadata},
    })
    const message = `Task queued for worker (task: ${task.id})`
    return c.json({success: true, session_id: task.id, message, codebase_id, agent})
  })
}

function reading(app: Hono<AppEnv>, plane: Plane): void {
  const shown = (task: Readonly<StoredTask>) => ({
    ...wireTask(task, waitingReason(task, plane.state)),
    agent_state: agentStateOf(task, plane.state),
    ...questionsOf(task, plane.state),
  })

  app.get(routes.tasks, async (c) => {
    const {status, worker_id, codebase_id, id_prefix, order, limit, cursor} = c.req.query()
    const isPoll =
      status === 'pending' && [codebase_id, id_prefix, order, limit, cursor].every((value) => value === undefined)
    if (isPoll && worker_id !== undefined) {
      const ids = await plane.run(pollTasks, {worker_id: c.get('only') ?? worker_id})
      return c.json(tasksById(plane, ids))
    }
    const poller = {address: addressOf(c), only: c.get('only')}
    const ids = isPoll && isPythonWorker(c) ? await plane.run(pollAnonymously, poller) : undefined
    if (ids) return c.json(tasksById(plane, ids))
    return page(c, {status, worker_id, codebase_id, id_prefix, order: readOrder(order), limit, cursor})
  })

  app.get(routes.codebaseTasks, (c) => {
    const codebase_id = c.req.param('codebase')
    if (!isPseudoCodebase(codebase_id) && !plane.state.get('codebase', codebase_id))
      throw notFound('Codebase not found')
    const {status, limit, cursor} = c.req.query()
    return page(c, {status, codebase_id, limit, cursor})
  })

  app.get(routes.task, (c) => c.json(shown(requireTask(plane.state, c.req.param('task')))))

  function page(c: Context<AppEnv>, query: Parameters<typeof listTasks>[1]) {
    const only = c.get('only')
    const reader = only === undefined ? {} : {readable_by: readerOf(plane, only)}
    const {tasks, next} = listTasks(plane, {...query, ...reader})
    if (next) c.header(nextCursorHeader, next)
    if (query.order) c.header(orderHeader, query.order)
    return c.json(tasks)
  }
}

const readerOf = (plane: Plane, workerId: string) => ({
  worker_id: workerId,
  shared_codebases: sharedCodebasesOf(plane.state, workerId),
})

function readOrder(text: string | undefined): TaskOrder | undefined {
  const order = taskOrders.find((known) => known === text)
  if (text !== undefined && order === undefined) throw new HttpError(400, `order must be ${taskOrders.join(' or ')}`)
  return order
}

function changes(app: Hono<AppEnv>, plane: Plane): void {
  app.put(routes.taskStatus, async (c) => {
    const report = await readBody(c, statusUpdateSchema, {maxBytes: limits.statusBody})
    mayActAs(c.get('identity'), report.worker_id, bindingsIn(plane.state))
    const task = await plane.run(reportStatus, {
      ...report,
      task_id: c.req.param('task'),
      bounded: c.get('only') !== undefined,
      by: tokenNameOf(c),
    })
    return c.json({success: true, task: wireTask(task), task_id: task.id, status: task.status})
  })

  app.post(routes.taskRetry, async (c) => {
    const body = await readBody(c, retrySchema, {mayBeEmpty: true})
    const task = await plane.run(retryTask, {...body, task_id: c.req.param('task'), by: tokenNameOf(c)})
    return c.json({success: true, task: wireTask(task)})
  })

  app.post(routes.taskCancel, async (c) => {
    const task = await plane.run(cancelTask, {task_id: c.req.param('task'), by: tokenNameOf(c)})
    const waiting = waitingReason(task, plane.state)
    const requested = waiting === null ? 'Cancellation requested' : `Cancellation requested: ${waiting}`
    const message = task.status === 'cancelled' ? 'Task cancelled' : requested
    return c.json({success: true, message, task: wireTask(task, waiting)})
  })
}
