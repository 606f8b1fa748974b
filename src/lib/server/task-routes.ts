import type {Hono} from 'hono'
import * as v from 'valibot'
import {limits} from '../protocol/limits.ts'
import {globalCodebase, routes} from '../protocol/routes.ts'
import {createTaskSchema, statusUpdateSchema, type Task} from '../protocol/schemas.ts'
import type {Plane} from './plane.ts'
import {notFound, Refusal} from './refusal.ts'
import {asWorker, readJson, type Ctx, type Env} from './requests.ts'
import type {StoredTask} from './store.ts'

const triggerSchema = v.object({
  prompt: v.pipe(v.string(), v.minLength(1)),
  agent: v.optional(v.pipe(v.string(), v.minLength(1)), 'build'),
  model: v.optional(v.nullable(v.string()), null),
  files: v.optional(v.array(v.string()), []),
  metadata: v.optional(v.record(v.string(), v.unknown()), {}),
})

const defaultPage = 100
const mostPage = 1000

/** Tasks: made, read, listed, reported on, cancelled. */
export function taskRoutes(app: Hono<Env>, plane: Plane): void {
  app.post(routes.codebaseTasks, async (c) => {
    const codebaseId = knownCodebase(plane, c.req.param('codebase'))
    const request = await readJson(c, createTaskSchema)
    checkPrompt(request.prompt)
    return c.json({success: true, task: wire(plane, await plane.create(codebaseId, request, keyOf(c)))})
  })

  app.post(routes.trigger, async (c) => {
    const codebaseId = knownCodebase(plane, c.req.param('codebase'))
    const {prompt, agent, model, files, metadata} = await readJson(c, triggerSchema)
    checkPrompt(prompt)
    const title = prompt.length > 80 ? `${prompt.slice(0, 80)}...` : prompt
    const task = await plane.create(
      codebaseId,
      {title, prompt, agent_type: agent, metadata: {model, files, ...metadata}},
      keyOf(c),
    )
    const message = `Task queued for worker (task: ${task.id})`
    return c.json({success: true, session_id: task.id, message, codebase_id: codebaseId, agent})
  })

  app.get(routes.tasks, (c) => list(c, plane, c.req.query('codebase_id')))
  app.get(routes.codebaseTasks, (c) => list(c, plane, c.req.param('codebase')))
  app.get(routes.task, (c) => c.json(wire(plane, plane.task(c.req.param('task')))))

  app.put(routes.taskStatus, async (c) => {
    const update = await readJson(c, statusUpdateSchema, limits.statusBody)
    asWorker(c, update.worker_id)
    const task = await plane.report(c.req.param('task'), update)
    return c.json({success: true, task_id: task.id, status: task.status, task: wire(plane, task)})
  })

  app.post(routes.taskCancel, async (c) => {
    const task = await plane.cancel(c.req.param('task'))
    const message =
      task.status === 'cancelled' ? 'Task cancelled' : 'Cancellation requested; the worker is told to stop it'
    return c.json({success: true, message, task: wire(plane, task)})
  })
}

/** A task as it goes out: everything, plus why a pending one waits. */
export function wire(plane: Plane, {seq: _, ...task}: StoredTask): Task {
  return {...task, waiting: task.status === 'pending' ? plane.dispatcher.reason({...task, seq: 0}) : null}
}

function knownCodebase(plane: Plane, id: string): string {
  if (plane.store.codebase(id)) return id
  if (id === globalCodebase && plane.store.workers().length > 0) return id
  throw notFound('Codebase')
}

function checkPrompt(prompt: string): void {
  if (prompt.trim() === '')
    throw new Refusal(422, [{type: 'string_too_short', loc: ['body', 'prompt'], msg: 'The prompt is empty', input: ''}])
  const bytes = Buffer.byteLength(prompt)
  if (bytes > limits.prompt)
    throw new Refusal(413, `The prompt has ${bytes} bytes; at most ${limits.prompt} are allowed`)
}

const keyOf = (c: Ctx) => c.req.header('idempotency-key') || undefined

function list(c: Ctx, plane: Plane, codebase: string | undefined) {
  const {status, worker_id: worker, limit, cursor} = c.req.query()
  const polls = status === 'pending' && codebase === undefined && limit === undefined && cursor === undefined
  if (polls) return c.json(pollable(plane, worker).map((task) => wire(plane, task)))
  const most = Math.min(Math.max(Number.parseInt(limit ?? '', 10) || defaultPage, 1), mostPage)
  const after = readCursor(cursor)
  const tasks = plane.store.listTasks({
    most: most + 1,
    ...(status === undefined ? {} : {status}),
    ...(worker === undefined ? {} : {worker}),
    ...(codebase === undefined ? {} : {codebase}),
    ...(after ? {after} : {}),
  })
  const page = tasks.slice(0, most)
  const last = page.at(-1)
  if (tasks.length > most && last) c.header('x-next-cursor', `${last.priority}.${last.seq}`)
  return c.json(page.map((task) => wire(plane, task)))
}

function readCursor(text: string | undefined): [number, number] | undefined {
  if (text === undefined) return undefined
  const [, priority, seq] = /^(-?\d+)\.(\d+)$/.exec(text) ?? []
  if (priority === undefined) throw new Refusal(400, `Invalid cursor: ${text.slice(0, 40)}`)
  return [Number(priority), Number(seq)]
}

/**
 * What a worker that polls may take now: nothing that was offered to another, one task a working tree. The existing
 * worker polls without saying who it is, and then runs all that it is shown and serves.
 */
function pollable(plane: Plane, workerId: string | undefined): StoredTask[] {
  const {store, dispatcher} = plane
  const worker = workerId === undefined ? undefined : store.worker(workerId)
  const trees = new Set<string>()
  return store.listTasks({status: 'pending', most: mostPage}).filter((task) => {
    if (workerId !== undefined && (!worker || !dispatcher.suits(task, worker))) return false
    if (!dispatcher.isPollable(task, workerId)) return false
    const tree = dispatcher.treeOfTask(task)
    if (tree === undefined) return true
    if (trees.has(tree)) return false
    trees.add(tree)
    return true
  })
}
