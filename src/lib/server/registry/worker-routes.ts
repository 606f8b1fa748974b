import type {Context, Hono} from 'hono'
import {serverFeatures} from '../../protocol/features.ts'
import {routes} from '../../protocol/routes.ts'
import {heartbeatSchema, registerWorkerSchema} from '../../protocol/schemas.ts'
import {mayActAs, type Identity} from '../http/auth.ts'
import {readBody} from '../http/body.ts'
import type {AppEnv} from '../http/app-env.ts'
import {addressOf, tokenNameOf} from '../http/peer.ts'
import {notFound} from '../http/http-error.ts'
import {recordHeartbeat} from '../tasks/heartbeats.ts'
import {actAs} from './binding.ts'
import {listModels} from './model-list.ts'
import {asIs, pageOf} from '../http/paging.ts'
import type {Parts} from '../dispatch/parts.ts'
import {forgetWorker, registerWorker, unregisterWorker} from './registration.ts'
import {recordStart} from './restarts.ts'
import {monitorWorker, wireWorker} from './registry-view.ts'
import type {StoredWorker} from '../store/store.ts'

/** An upper bound on slots, against mistyped registrations. */
const maxSlots = 1000

const keyOf = ({registered_at, worker_id}: StoredWorker) => [registered_at, worker_id]

/** A worker's token is shown its own worker only. */
const isShown = (c: Context<AppEnv>) => {
  const only = c.get('only')
  return ({worker_id}: StoredWorker) => only === undefined || worker_id === only
}

/** Routes of workers: registration, heartbeats and lists. */
export function workerRoutes(app: Hono<AppEnv>, parts: Parts): void {
  const {store, commits} = parts
  const {registry} = store
  /** Why workers announce no models. They repeat it with each registration, so it is not stored. */
  const modelNotes = new Map<string, string>()
  const warn = warnOfAdminTokens(parts)

  app.post(routes.registerWorker, async (c) => {
    const {max_concurrent_tasks: slots, instance, models_note: note, ...body} = await readBody(c, registerWorkerSchema)
    const identity = c.get('identity')
    const {machine_id: machineId} = body
    mayActAs(identity, body.worker_id, registry, {registers: 'check', machineId})
    await parts.instances.admit({workerId: body.worker_id, instance, hostname: body.hostname})
    const worker = commits.write(() => {
      actAs(c, parts, body.worker_id, machineId)
      const max_concurrent_tasks = slots === null ? null : Math.min(slots, maxSlots)
      const token = identity?.scope === 'worker' ? identity.hash : null
      const registered = registerWorker(parts, {...body, max_concurrent_tasks, token}, tokenNameOf(c))
      parts.leases.recordAddress(body.worker_id, addressOf(c))
      return registered
    })
    warn(identity, worker)
    if (note === null) modelNotes.delete(body.worker_id)
    else modelNotes.set(body.worker_id, note.slice(0, 300))
    return c.json({
      success: true,
      worker: wireWorker(parts, worker),
      worker_id: worker.worker_id,
      message: 'Worker registered',
      features: serverFeatures,
      ...(parts.brokerUrl ? {redis_url: parts.brokerUrl} : {}),
    })
  })

  app.post(routes.heartbeat, async (c) => {
    const workerId = c.req.param('worker')
    const body = await readBody(c, heartbeatSchema, {mayBeEmpty: true})
    const {hostname} = parts.roster.profile(workerId)
    parts.instances.recordHeartbeat({workerId, instance: body.instance, hostname})
    commits.write(() => recordHeartbeat(parts, workerId, body))
    return c.json({success: true})
  })

  app.post(routes.unregister, (c) => {
    const workerId = c.req.param('worker')
    const isKnown = commits.write(() => unregisterWorker(parts, workerId, tokenNameOf(c)))
    modelNotes.delete(workerId)
    return c.json({success: isKnown, message: isKnown ? 'Worker unregistered' : 'Worker not found'})
  })

  app.get(routes.apiKeysSync, (c) => {
    const workerId = c.req.query('worker_id')
    if (workerId !== undefined) commits.write(() => recordStart(parts, workerId))
    return c.json({auth: {}, providers: {}})
  })

  app.get(routes.workers, (c) =>
    c.json(pageOf(c, registry.workers().filter(isShown(c)), keyOf, (worker) => wireWorker(parts, worker))),
  )

  app.get(routes.worker, (c) => {
    const worker = registry.worker(c.req.param('worker'))
    if (!worker || worker.unregistered_at !== null) throw notFound('Worker not found')
    return c.json(wireWorker(parts, worker))
  })

  app.delete(routes.worker, (c) => {
    const workerId = c.req.param('worker')
    const requeued = commits.write(() => forgetWorker(parts, workerId, tokenNameOf(c)))
    return c.json({success: true, message: `Worker ${workerId} forgotten`, requeued})
  })

  app.get(routes.models, (c) => {
    const {models, ...rest} = listModels(registry.workers().filter(isShown(c)), (id) => modelNotes.get(id))
    return c.json({models: pageOf(c, models, ({id}) => [id], asIs), ...rest})
  })

  app.get(routes.monitorWorkers, (c) =>
    c.json({
      workers: pageOf(c, registry.workers({all: true, withModels: false}).filter(isShown(c)), keyOf, (worker) =>
        monitorWorker(parts, worker),
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
function warnOfAdminTokens({needsTokens, localToken, log}: Parts) {
  const warned = new Set<string>()
  return (identity: Identity | undefined, {worker_id: workerId, name}: StoredWorker) => {
    if (!needsTokens || localToken !== undefined || identity?.scope !== 'admin') return
    if (warned.has(workerId) || warned.size >= maxWarned) return
    warned.add(workerId)
    const text = `Worker ${name} (${workerId}) has an admin's token: it, and whoever reads its token there, may read and end all tasks. Give it a token of its own: NAME/worker:TOKEN`
    log(text, 'warn', {workerId})
  }
}
