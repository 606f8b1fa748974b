import type {Context, Hono} from 'hono'
import {serverFeatures} from '../../protocol/features.ts'
import {routes} from '../../protocol/routes.ts'
import {heartbeatSchema, registerWorkerSchema} from '../../protocol/schemas.ts'
import {mayActAs, type Identity} from '../http/auth.ts'
import {readBody} from '../http/body.ts'
import type {AppEnv} from '../http/app-env.ts'
import {addressOf, tokenNameOf} from '../http/peer.ts'
import {notFound} from '../http/http-error.ts'
import {announcedModels} from './model-list.ts'
import {asIs, pageOf} from '../http/paging.ts'
import type {Plane} from '../plane/plane.ts'
import {bindingsIn} from '../rules/registry/binding.ts'
import {recordHeartbeat} from '../rules/tasks/heartbeats.ts'
import {recordStart} from '../rules/registry/inheritance.ts'
import {forgetWorker, registerWorker, unregisterWorker} from '../rules/registry/register-worker.ts'
import {all, type StoredWorker} from '../state/records.ts'
import type {Log} from '../streams/activity-lines.ts'
import type {Instances} from './instances.ts'
import {inOrder, monitorWorker, wireWorker} from './registry-view.ts'

/** An upper bound on slots, against mistyped registrations. */
const maxSlots = 1000

const keyOf = ({registered_at, worker_id}: Readonly<StoredWorker>) => [registered_at, worker_id]

/** A worker's token is shown its own worker only. */
const isShown = (c: Context<AppEnv>) => {
  const only = c.get('only')
  return ({worker_id}: Readonly<StoredWorker>) => only === undefined || worker_id === only
}

export type WorkerRouteOptions = {
  plane: Plane
  instances: Instances
  /** The Redis URL that is announced to workers, if any. */
  brokerUrl: string | undefined
  /** Whether the operator is told of workers with an admin's token. */
  warnsOfAdmins: boolean
  log: Log
}

/** Routes of workers: registration, heartbeats and lists. */
export function workerRoutes(app: Hono<AppEnv>, options: WorkerRouteOptions): void {
  const {plane, instances, brokerUrl} = options
  const registered = (c: Context<AppEnv>) => inOrder(plane.state.find('workers', all)).filter(isShown(c))
  const warn = warnOfAdminTokens(options)

  app.post(routes.registerWorker, async (c) => {
    const {max_concurrent_tasks: slots, instance, models_note: note, ...body} = await readBody(c, registerWorkerSchema)
    const identity = c.get('identity')
    const {machine_id: machineId} = body
    mayActAs(identity, body.worker_id, bindingsIn(plane.state), {registers: 'check', machineId})
    await instances.admit({workerId: body.worker_id, instance, hostname: body.hostname})
    const max_concurrent_tasks = slots === null ? null : Math.min(slots, maxSlots)
    const modelsNote = note && note.slice(0, 300)
    const sender = {identity, address: addressOf(c), modelsNote, by: tokenNameOf(c)}
    const worker = await plane.run(registerWorker, {worker: {...body, max_concurrent_tasks}, ...sender})
    warn(identity, worker)
    return c.json({
      success: true,
      worker: wireWorker(plane.state, worker, body.models),
      worker_id: worker.worker_id,
      message: 'Worker registered',
      features: serverFeatures,
      ...(brokerUrl ? {redis_url: brokerUrl} : {}),
    })
  })

  app.post(routes.heartbeat, async (c) => {
    const workerId = c.req.param('worker')
    const body = await readBody(c, heartbeatSchema, {mayBeEmpty: true})
    const hostname = plane.state.get('worker', workerId)?.hostname ?? null
    await instances.recordHeartbeat({workerId, instance: body.instance, hostname})
    await plane.run(recordHeartbeat, {...body, worker_id: workerId})
    return c.json({success: true})
  })

  app.post(routes.unregister, async (c) => {
    const workerId = c.req.param('worker')
    const isKnown = await plane.run(unregisterWorker, {worker_id: workerId, by: tokenNameOf(c)})
    return c.json({success: isKnown, message: isKnown ? 'Worker unregistered' : 'Worker not found'})
  })

  app.get(routes.apiKeysSync, async (c) => {
    const worker_id = c.req.query('worker_id')
    if (worker_id !== undefined) await plane.run(recordStart, {worker_id})
    return c.json({auth: {}, providers: {}})
  })

  app.get(routes.workers, (c) => {
    const models = plane.views.models()
    const show = (worker: Readonly<StoredWorker>) => wireWorker(plane.state, worker, models.get(worker.worker_id))
    return c.json(pageOf(c, registered(c), keyOf, show))
  })

  app.get(routes.worker, (c) => {
    const worker = plane.state.get('worker', c.req.param('worker'))
    if (!worker || worker.unregistered_at !== null) throw notFound('Worker not found')
    const {worker_id: id} = worker
    return c.json(wireWorker(plane.state, worker, plane.views.models(id).get(id)))
  })

  app.delete(routes.worker, async (c) => {
    const workerId = c.req.param('worker')
    const requeued = await plane.run(forgetWorker, {worker_id: workerId, by: tokenNameOf(c)})
    return c.json({success: true, message: `Worker ${workerId} forgotten`, requeued})
  })

  app.get(routes.models, (c) => {
    const {models, ...rest} = announcedModels(plane, registered(c))
    return c.json({models: pageOf(c, models, ({id}) => [id], asIs), ...rest})
  })

  app.get(routes.monitorWorkers, (c) =>
    c.json({
      workers: pageOf(c, inOrder(plane.state.find('knownWorkers', all)).filter(isShown(c)), keyOf, (worker) =>
        monitorWorker(plane.state, worker),
      ),
    }),
  )
}

/** How many workers are remembered as warned of. */
const maxWarned = 1000

/**
 * Tells the operator, once per worker, that a worker has an admin's token. The control plane of a machine gives its own
 * workers such a token, on purpose.
 */
function warnOfAdminTokens({warnsOfAdmins, log}: WorkerRouteOptions) {
  const warned = new Set<string>()
  return (identity: Identity | undefined, {worker_id: workerId, name}: StoredWorker) => {
    if (!warnsOfAdmins || identity?.scope !== 'admin') return
    if (warned.has(workerId) || warned.size >= maxWarned) return
    warned.add(workerId)
    const text = `Worker ${name} (${workerId}) has an admin's token: it, and whoever reads its token there, may read and end all tasks. Give it a token of its own: NAME/worker:TOKEN`
    log(text, 'warn', {workerId})
  }
}
