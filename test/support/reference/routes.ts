import {randomUUID} from 'node:crypto'
import type {ServerResponse} from 'node:http'
import type {ReferenceServer} from '../reference-server.ts'
import {missing, Problem, type Call, type Route} from './http.ts'
import {codebaseView, shapeB, taskRow, taskView, workerView, type Task} from './records.ts'
import {streamView} from './streams.ts'

/** A handler without a needed `await`: the client gets a bare 500, and nothing happens. */
const neverAwaited = () => {
  throw new TypeError("'coroutine' object has no attribute 'to_dict'")
}

const success = (more: object = {}) => ({success: true, ...more})

function need<T>(body: Record<string, T> | undefined, ...fields: string[]): void {
  for (const field of fields) if (body?.[field] === undefined || body[field] === null) throw missing(field)
}

export const routesOf = (server: ReferenceServer): Route[] => [
  ['GET', '/health', () => ({status: 'healthy', timestamp: new Date().toISOString().slice(0, -1)})],
  ['GET', '/v1/opencode/status', () => ({available: true, message: 'ready', registered_codebases: 0, runtime: null})],
  ...workerRoutes(server),
  ...codebaseRoutes(server),
  ...taskRoutes(server),
  ...outputRoutes(server),
  ...streamRoutes(server),
]

const workerRoutes = (server: ReferenceServer): Route[] => [
  ['GET', '/v1/opencode/workers', () => [...server.workers.values()].map(workerView)],
  [
    'POST',
    '/v1/opencode/workers/register',
    ({body}) => {
      need(body, 'worker_id', 'name')
      const {worker_id, name, capabilities = [], hostname = null, models = [], global_codebase_id = null} = body
      const registered_at = new Date().toISOString().slice(0, -1)
      const known = {worker_id, name, capabilities, hostname, models, global_codebase_id, registered_at}
      server.workers.set(worker_id, {...known, last_seen: new Date()})
      return success({worker: workerView({...known, last_seen: new Date()})})
    },
  ],
  [
    'POST',
    '/v1/opencode/workers/:worker/heartbeat',
    ({params}) => {
      const worker = server.workers.get(params['worker'] ?? '')
      if (!worker) throw new Problem(404, 'Worker not found - please re-register')
      worker.last_seen = new Date()
      return success()
    },
  ],
  [
    'POST',
    '/v1/opencode/workers/:worker/unregister',
    ({params}) =>
      server.workers.delete(params['worker'] ?? '')
        ? success({message: 'Worker unregistered'})
        : {success: false, message: 'Worker not found'},
  ],
]

const codebaseRoutes = (server: ReferenceServer): Route[] => [
  ['GET', '/v1/opencode/codebases', () => [...server.codebases.values()].map(codebaseView)],
  [
    'POST',
    '/v1/opencode/codebases',
    ({body}) => {
      need(body, 'name', 'path')
      if (body.worker_id) return success({codebase: codebaseView(server.registerCodebase(body))})
      if (server.workers.size > 0) return neverAwaited()
      throw new Problem(400, 'No workers available. Start a worker on the machine with access to this path.')
    },
  ],
  [
    'POST',
    '/v1/opencode/codebases/:codebase/tasks',
    ({params, body}) => {
      need(body, 'title', 'prompt')
      codebaseOf(server, params)
      return neverAwaited()
    },
  ],
  [
    'POST',
    '/v1/opencode/codebases/:codebase/trigger',
    ({params, body}) => {
      need(body, 'prompt')
      const codebase = codebaseOf(server, params)
      if (!codebase.isStored) throw new Problem(404, 'Codebase not found')
      const {prompt, agent = 'build', model = null, files = [], metadata = {}} = body
      const about = {prompt, agent_type: agent, metadata: {model, files, ...metadata}}
      const {id} = server.trigger(codebase.id, about)
      const message = `Task queued for worker (task: ${id})`
      return success({session_id: id, message, codebase_id: codebase.id, agent})
    },
  ],
  ['POST', '/v1/opencode/codebases/:codebase/sessions/sync', (call) => server.syncSessions(call)],
  ['POST', '/v1/opencode/codebases/:codebase/sessions/:session/messages/sync', (call) => server.syncMessages(call)],
]

const codebaseOf = (server: ReferenceServer, {codebase = ''}: Record<string, string>) => {
  const found = server.codebases.get(codebase)
  if (!found) throw new Problem(404, 'Codebase not found')
  return found
}

/** Rows of the database by priority, then by age. At most a hundred, and there is no next page. */
function rows(server: ReferenceServer, {status, worker_id, codebase_id}: Record<string, string>): object[] {
  const wanted = (task: Task) =>
    task.isStored &&
    (status === undefined || task.status === status) &&
    (worker_id === undefined || task.worker_id === worker_id) &&
    (codebase_id === undefined || task.codebase_id === codebase_id)
  return [...server.tasks.values()]
    .filter(wanted)
    .sort((a, b) => b.priority - a.priority || a.created_at.getTime() - b.created_at.getTime())
    .slice(0, 100)
    .map(taskRow)
}

const taskRoutes = (server: ReferenceServer): Route[] => [
  ['GET', '/v1/opencode/tasks', ({query}) => rows(server, query)],
  [
    'GET',
    '/v1/opencode/codebases/:codebase/tasks',
    ({query, params}) => rows(server, {...query, codebase_id: params['codebase'] ?? ''}),
  ],
  ['GET', '/v1/opencode/tasks/:task', ({params}) => taskView(taskOf(server, params))],
  ['PUT', '/v1/opencode/tasks/:task/status', (call) => updateStatus(server, call)],
  // Accepts any task, known or not, without effect.
  ['POST', '/v1/opencode/tasks/:task/cancel', () => success({message: 'Task cancelled'})],
]

const taskOf = (server: ReferenceServer, {task = ''}: Record<string, string>): Task => {
  const found = server.tasks.get(task)
  if (!found) throw new Problem(404, 'Task not found')
  return found
}

const statuses = ['pending', 'assigned', 'running', 'completed', 'failed', 'cancelled']

/** Allows any change of state by anybody, and loses the owner of the task. */
function updateStatus(server: ReferenceServer, {body, params}: Call) {
  need(body, 'status', 'worker_id')
  if (!statuses.includes(body.status)) throw new Problem(400, `Invalid status: ${body.status}`)
  const task = taskOf(server, params)
  task.status = body.status
  task.worker_id = null
  task.updated_at = new Date()
  if (body.status === 'running') task.started_at ??= new Date()
  if (['completed', 'failed', 'cancelled'].includes(body.status)) task.completed_at ??= new Date()
  task.session_id = body.session_id || task.session_id
  task.result = body.result || task.result
  task.error = body.error || task.error
  if (body.status === 'pending') server.streams.push(task.codebase_id, shapeB(task))
  return success({task: taskView(task)})
}

const outputRoutes = (server: ReferenceServer): Route[] => [
  [
    'POST',
    '/v1/opencode/tasks/:task/output',
    ({params, body}) => {
      need(body, 'worker_id', 'output')
      const {output, worker_id, timestamp = new Date().toISOString().slice(0, -1)} = body
      server.keepOutput(params['task'] ?? '', {output, timestamp, worker_id})
      return success()
    },
  ],
  [
    'GET',
    '/v1/opencode/tasks/:task/output',
    ({params, query}) => {
      const all = server.outputs.get(params['task'] ?? '') ?? []
      const since = Number(query['since'] ?? 0)
      return {task_id: params['task'], outputs: since >= all.length ? all : all.slice(since), total: all.length}
    },
  ],
  ['GET', '/v1/opencode/tasks/:task/output/stream', ({params}, response) => streamOutput(server, params, response)],
]

/** Sends the existing output, then the handler crashes: the body ends in the middle. */
function streamOutput(server: ReferenceServer, {task = ''}: Record<string, string>, response: ServerResponse): void {
  response.writeHead(200, {'content-type': 'text/event-stream; charset=utf-8'}).flushHeaders()
  const events = (server.outputs.get(task) ?? []).map(
    (chunk) => `event: output\r\ndata: ${JSON.stringify(chunk)}\r\n\r\n`,
  )
  response.write(events.join('') || ': ping\r\n\r\n', () => response.destroy())
}

const streamRoutes = (server: ReferenceServer): Route[] => [
  [
    'GET',
    '/v1/worker/tasks/stream',
    (call, response) => {
      authorize(server, call)
      const agentName = call.query['agent_name'] ?? header(call, 'x-agent-name')
      if (!agentName) throw new Problem(400, 'agent_name is required (query param or X-Agent-Name header)')
      const workerId = call.query['worker_id'] ?? header(call, 'x-worker-id') ?? randomUUID()
      const [codebases, capabilities] = ['x-codebases', 'x-capabilities'].map((name) => words(header(call, name)))
      server.streams.connect({
        workerId,
        agentName,
        capabilities: capabilities ?? [],
        codebases: new Set(codebases),
        currentTask: null,
        connectedAt: new Date(),
        response,
      })
    },
  ],
  [
    'POST',
    '/v1/worker/tasks/claim',
    (call) => {
      const worker_id = caller(server, call)
      need(call.body, 'task_id')
      const {task_id} = call.body
      if (server.streams.claim(task_id, worker_id))
        return success({task_id, worker_id, message: 'Task claimed successfully'})
      throw new Problem(409, `Task ${task_id} already claimed by another worker`)
    },
  ],
  [
    'POST',
    '/v1/worker/tasks/release',
    (call) => {
      const worker_id = caller(server, call)
      need(call.body, 'task_id')
      const {task_id, status = 'completed'} = call.body
      if (server.streams.release(task_id, worker_id))
        return success({task_id, worker_id, status, message: 'Task released successfully'})
      throw new Problem(404, `Task ${task_id} not claimed by worker ${worker_id}`)
    },
  ],
  [
    'GET',
    '/v1/worker/connected',
    (call) => {
      authorize(server, call)
      const workers = [...server.streams.entries.values()].map(streamView)
      return {workers, count: workers.length, timestamp: new Date().toISOString().slice(0, -1)}
    },
  ],
  [
    'GET',
    '/v1/worker/connected/:worker',
    (call) => {
      authorize(server, call)
      const stream = server.streams.entries.get(call.params['worker'] ?? '')
      if (stream) return streamView(stream)
      throw new Problem(404, `Worker ${call.params['worker']} not found or not connected`)
    },
  ],
  [
    'PUT',
    '/v1/worker/codebases',
    (call) => {
      const worker_id = caller(server, call)
      need(call.body, 'codebases')
      const stream = server.streams.entries.get(worker_id)
      if (!stream) throw new Problem(404, `Worker ${worker_id} not found (not connected via SSE?)`)
      stream.codebases = new Set(call.body.codebases)
      return success({worker_id, codebases: call.body.codebases, message: 'Codebases updated'})
    },
  ],
]

function caller(server: ReferenceServer, call: Call): string {
  authorize(server, call)
  const id = call.query['worker_id'] ?? header(call, 'x-worker-id')
  if (!id) throw new Problem(400, 'worker_id is required (query param or X-Worker-ID header)')
  return id
}

/** Only these routes require the token. */
function authorize({token}: ReferenceServer, call: Call): void {
  if (token === undefined) return
  const given = header(call, 'authorization')
  if (!given?.startsWith('Bearer ')) throw new Problem(401, 'Missing Bearer token')
  if (given !== `Bearer ${token}`) throw new Problem(403, 'Invalid token')
}

const header = ({headers}: Call, name: string): string | undefined => {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}

const words = (text = '') =>
  text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
