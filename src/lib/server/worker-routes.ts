import type {Hono} from 'hono'
import {serverFeatures} from '../protocol/features.ts'
import {routes} from '../protocol/routes.ts'
import {heartbeatSchema, registerWorkerSchema, type MonitorWorker, type Worker} from '../protocol/schemas.ts'
import type {Plane} from './plane.ts'
import {notFound, Refusal} from './refusal.ts'
import {asWorker, readJson, type Ctx, type Env} from './requests.ts'
import type {StoredWorker} from './store.ts'

/** Registration, signs of life, and who is there. */
export function workerRoutes(app: Hono<Env>, plane: Plane, bindToken: (c: Ctx, workerId: string) => void): void {
  app.post(routes.registerWorker, async (c) => {
    const worker = await readJson(c, registerWorkerSchema)
    bindToken(c, worker.worker_id)
    plane.store.saveWorker(worker, plane.now())
    plane.registered(worker.worker_id, worker.features?.includes('lease') ?? false)
    await plane.committed()
    plane.dispatcher.welcome(worker.worker_id)
    const stored = view(plane, found(plane, worker.worker_id))
    const answer = {success: true, worker_id: worker.worker_id, message: 'Worker registered', worker: stored}
    return c.json({...answer, features: serverFeatures})
  })

  app.post(routes.heartbeat, async (c) => {
    const id = asWorker(c, c.req.param('worker'))
    if (!plane.store.worker(id)) throw new Refusal(404, 'Worker not found - please re-register')
    await plane.heartbeat(id, await readJson(c, heartbeatSchema))
    return c.json({success: true})
  })

  app.post(routes.unregister, async (c) => {
    const removed = plane.store.removeWorker(asWorker(c, c.req.param('worker')))
    await plane.committed()
    return c.json({success: removed, message: removed ? 'Worker unregistered' : 'Worker not found'})
  })

  app.get(routes.workers, (c) => c.json(plane.store.workers().map((worker) => view(plane, worker))))
  app.get(routes.worker, (c) => c.json(view(plane, found(plane, c.req.param('worker')))))
  app.get(routes.monitorWorkers, (c) =>
    c.json({workers: plane.store.workers().map((worker) => monitored(plane, worker))}),
  )
}

function found(plane: Plane, id: string): StoredWorker {
  const worker = plane.store.worker(id)
  if (!worker) throw notFound('Worker')
  return worker
}

function view(plane: Plane, worker: StoredWorker): Worker {
  const connected = plane.hub.get(worker.worker_id) !== undefined
  const running = plane.runs.of(worker.worker_id).length
  return {...worker, features: worker.features ?? [], status: 'active', connected, running}
}

const staleAfterMs = 45_000

function monitored(plane: Plane, worker: StoredWorker): MonitorWorker {
  const age = Date.parse(plane.now()) - Date.parse(worker.last_seen)
  const connected = plane.hub.get(worker.worker_id) !== undefined
  return {
    id: worker.worker_id,
    name: worker.name,
    status: connected || age <= staleAfterMs ? 'active' : 'stale',
    last_heartbeat: worker.last_seen,
    codebases: plane.store.codebases().filter(({worker_id: owner}) => owner === worker.worker_id).length,
    tasks_completed: worker.tasks_completed,
    hostname: worker.hostname,
    connected,
    running: plane.runs.of(worker.worker_id).length,
  }
}
