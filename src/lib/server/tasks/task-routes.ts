import type {Context, Hono} from 'hono'
import {limits} from '../../protocol/limits.ts'
import {routes} from '../../protocol/routes.ts'
import {createTaskSchema, retrySchema, statusUpdateSchema, triggerSchema} from '../../protocol/schemas.ts'
import {mayActAs} from '../http/auth.ts'
import {readBody} from '../http/body.ts'
import type {AppEnv} from '../http/app-env.ts'
import {addressOf, isPythonWorker, tokenNameOf} from '../http/peer.ts'
import {HttpError, notFound} from '../http/http-error.ts'
import {recordContact} from './heartbeats.ts'
import {nextCursorHeader, orderHeader} from '../http/paging.ts'
import type {Parts} from '../dispatch/parts.ts'
import {sharedCodebasesOf} from '../dispatch/boundary.ts'
import {isPseudoCodebase} from '../dispatch/roster.ts'
import {taskOrders, type StoredTask, type TaskOrder} from '../store/store.ts'
import {anonymousPoll, claimableTasks} from './polls.ts'
import {listTasks} from './task-lists.ts'
import {requestTask} from './task-requests.ts'
import {wireTask} from '../streams/task-view.ts'
import {cancelTask, requireTask, reportStatus, retryTask} from './tasks.ts'
import {agentStateOf, waitingReason} from '../dispatch/waiting.ts'

/** Routes of tasks: clients create and cancel them, workers report on them, both read them. */
export function taskRoutes(app: Hono<AppEnv>, parts: Parts): void {
  creation(app, parts)
  reading(app, parts)
  changes(app, parts)
}

function creation(app: Hono<AppEnv>, parts: Parts): void {
  app.post(routes.codebaseTasks, async (c) => {
    const body = await readBody(c, createTaskSchema)
    const task = requestTask(c, parts, {...body, codebase_id: c.req.param('codebase')})
    return c.json({success: true, task: wireTask(task)})
  })

  app.post(routes.trigger, async (c) => {
    const {prompt, agent, model, files, metadata} = await readBody(c, triggerSchema)
    const codebase_id = c.req.param('codebase')
    const title = prompt.length > 80 ? `${prompt.slice(0, 80)}...` : prompt
    const task = requestTask(c, parts, {
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

function reading(app: Hono<AppEnv>, parts: Parts): void {
  const shown = (task: StoredTask) => ({
    ...wireTask(task, waitingReason(task, parts)),
    agent_state: agentStateOf(task, parts),
  })

  app.get(routes.tasks, (c) => {
    const {status, worker_id, codebase_id, id_prefix, order, limit, cursor} = c.req.query()
    const isPoll =
      status === 'pending' && [codebase_id, id_prefix, order, limit, cursor].every((value) => value === undefined)
    if (isPoll && worker_id !== undefined) return c.json(claimableTasks(parts, c.get('only') ?? worker_id))
    const answer = isPoll && isPythonWorker(c) ? anonymousPoll(parts, addressOf(c), c.get('only')) : undefined
    if (answer) return c.json(answer)
    return page(c, {status, worker_id, codebase_id, id_prefix, order: readOrder(order), limit, cursor})
  })

  app.get(routes.codebaseTasks, (c) => {
    const codebase_id = c.req.param('codebase')
    if (!isPseudoCodebase(codebase_id) && !parts.store.registry.codebase(codebase_id))
      throw notFound('Codebase not found')
    const {status, limit, cursor} = c.req.query()
    return page(c, {status, codebase_id, limit, cursor})
  })

  app.get(routes.task, (c) => c.json(shown(requireTask(parts, c.req.param('task')))))

  function page(c: Context<AppEnv>, query: Parameters<typeof listTasks>[1]) {
    const only = c.get('only')
    const reader = only === undefined ? {} : {readable_by: readerOf(parts, only)}
    const {tasks, next} = listTasks(parts, {...query, ...reader})
    if (next) c.header(nextCursorHeader, next)
    if (query.order) c.header(orderHeader, query.order)
    return c.json(tasks)
  }
}

const readerOf = (parts: Parts, workerId: string) => ({
  worker_id: workerId,
  shared_codebases: sharedCodebasesOf(parts, workerId),
})

function readOrder(text: string | undefined): TaskOrder | undefined {
  const order = taskOrders.find((known) => known === text)
  if (text !== undefined && order === undefined) throw new HttpError(400, `order must be ${taskOrders.join(' or ')}`)
  return order
}

function changes(app: Hono<AppEnv>, parts: Parts): void {
  const {commits, store} = parts

  app.put(routes.taskStatus, async (c) => {
    const report = await readBody(c, statusUpdateSchema, {maxBytes: limits.statusBody})
    mayActAs(c.get('identity'), report.worker_id, store.registry)
    const task = commits.write(() => {
      recordContact(parts, report.worker_id)
      return reportStatus(parts, requireTask(parts, c.req.param('task')), {
        ...report,
        bounded: c.get('only') !== undefined,
        by: tokenNameOf(c),
      })
    })
    return c.json({success: true, task: wireTask(task), task_id: task.id, status: task.status})
  })

  app.post(routes.taskRetry, async (c) => {
    const body = await readBody(c, retrySchema, {mayBeEmpty: true})
    const task = commits.write(() => retryTask(parts, c.req.param('task'), {...body, by: tokenNameOf(c)}))
    return c.json({success: true, task: wireTask(task)})
  })

  app.post(routes.taskCancel, (c) => {
    const task = commits.write(() => cancelTask(parts, c.req.param('task'), tokenNameOf(c)))
    const waiting = waitingReason(task, parts)
    const requested = waiting === null ? 'Cancellation requested' : `Cancellation requested: ${waiting}`
    const message = task.status === 'cancelled' ? 'Task cancelled' : requested
    return c.json({success: true, message, task: wireTask(task, waiting)})
  })
}
