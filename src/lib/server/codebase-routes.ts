import {randomBytes} from 'node:crypto'
import type {Hono} from 'hono'
import {pendingCodebase, routes} from '../protocol/routes.ts'
import {registerCodebaseSchema, type Codebase} from '../protocol/schemas.ts'
import type {Plane} from './plane.ts'
import {notFound, Refusal} from './refusal.ts'
import {asWorker, readJson, type Env} from './requests.ts'
import type {StoredCodebase} from './store.ts'

/** Codebases, keyed by worker and path: two machines with the same path do not take it from each other. */
export function codebaseRoutes(app: Hono<Env>, plane: Plane): void {
  app.post(routes.codebases, async (c) => {
    const request = await readJson(c, registerCodebaseSchema)
    if (!request.worker_id) return c.json(await deferred(plane, request))
    const workerId = asWorker(c, request.worker_id)
    const path = normalise(request.path)
    const id = plane.store.codebaseAt(workerId, path)?.id ?? randomBytes(4).toString('hex')
    plane.store.saveCodebase(id, {...request, path, worker_id: workerId}, plane.now())
    await plane.committed()
    plane.dispatcher.run()
    return c.json({success: true, codebase: view(plane, found(plane, id))})
  })

  const list = () => plane.store.codebases().map((codebase) => view(plane, codebase))
  app.get(routes.codebases, (c) => c.json(list()))
  app.get(routes.codebaseList, (c) => c.json(list()))
  app.get(routes.codebase, (c) => c.json(view(plane, found(plane, c.req.param('codebase')))))
}

/** A registration without a worker is a task for whichever worker has the path. */
async function deferred(
  plane: Plane,
  {
    name,
    path,
    description,
    agent_config,
  }: {name: string; path: string; description: string; agent_config: Record<string, unknown>},
) {
  if (plane.store.workers().length === 0)
    throw new Refusal(400, 'No workers available. Start a worker on the machine with access to this path.')
  const task = await plane.create(pendingCodebase, {
    title: `Register codebase: ${name}`,
    prompt: `Register the codebase ${name} at ${path}`,
    agent_type: 'register_codebase',
    metadata: {name, path, description, agent_config},
  })
  return {
    success: true,
    pending: true,
    task_id: task.id,
    message: 'Registration waits for a worker with access to this path',
  }
}

/** The worker's path as it is, less a trailing slash: this machine's own file system says nothing about it. */
const normalise = (path: string) => (path.length > 1 ? path.replace(/\/+$/, '') || '/' : path)

function found(plane: Plane, id: string): StoredCodebase {
  const codebase = plane.store.codebase(id)
  if (!codebase) throw notFound('Codebase')
  return codebase
}

function view(plane: Plane, codebase: StoredCodebase): Codebase {
  const {tree: _, ...shown} = codebase
  const key = `${codebase.worker_id}\0${codebase.tree ?? codebase.path}`
  return {
    ...shown,
    status: plane.runs.inTree(key) ? 'running' : 'idle',
    opencode_port: null,
    session_id: null,
    watch_mode: false,
    watch_interval: 5,
    served: plane.hub.get(codebase.worker_id) !== undefined,
    hostname: plane.store.worker(codebase.worker_id)?.hostname ?? null,
  }
}
