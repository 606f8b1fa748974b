import type {Context, Hono} from 'hono'
import {isoTime} from '../../core/clock.ts'
import {routes} from '../../protocol/routes.ts'
import {workerCodebasesSchema} from '../../protocol/schemas.ts'
import {mayActAs} from '../http/auth.ts'
import {readBody} from '../http/body.ts'
import type {AppEnv} from '../http/app-env.ts'
import {openEventStream} from '../streams/event-stream.ts'
import {notFound} from '../http/http-error.ts'
import {isPythonWorker} from '../http/peer.ts'
import {workerIdOf} from '../http/worker-id.ts'
import type {TaskStream} from '../streams/hub.ts'
import {actAs} from './binding.ts'
import {recordContact} from '../tasks/heartbeats.ts'
import {pageOf} from '../http/paging.ts'
import {ownsCodebase} from '../dispatch/boundary.ts'
import type {Parts} from '../dispatch/parts.ts'
import {sendCancel} from '../tasks/transitions.ts'

/** Routes of task streams: a worker opens one, and clients see which are open. */
export function streamRoutes(app: Hono<AppEnv>, parts: Parts): void {
  const warn = warnOfMissingTokens(parts)
  app.get(routes.taskStream, (c) => {
    warn(c)
    return openTaskStream(c, parts)
  })
  connections(app, parts)
}

/** How many workers are remembered as warned of. */
const maxWarned = 1000

/**
 * Tells the operator why a Python worker stays without tasks. It sends its token with the stream only: where each request
 * needs one, its stream opens and all else that it sends is refused, which it ignores.
 */
function warnOfMissingTokens({needsTokens, store, log}: Parts): (c: Context<AppEnv>) => void {
  const warned = new Set<string>()
  return (c) => {
    if (!needsTokens || !isPythonWorker(c)) return
    const workerId = workerIdOf(c)
    if (warned.has(workerId) || warned.size >= maxWarned || store.registry.worker(workerId)) return
    warned.add(workerId)
    const name = c.req.query('agent_name') ?? workerId
    log(
      `worker ${name} (${workerId}) gets no tasks: it is a Python worker, which sends its token with the task stream only, and all its other requests are refused. Start the control plane with --auth stream-only`,
    )
  }
}

async function openTaskStream(c: Context<AppEnv>, parts: Parts): Promise<Response> {
  const {hub, dispatch, commits, store, leases, roster, instances, clock} = parts
  const workerId = workerIdOf(c)
  const instance = c.req.header('x-instance') || null
  const agentName = c.req.query('agent_name') || c.req.header('x-agent-name') || roster.profile(workerId).name
  const registered = roster.profile(workerId).capabilities
  const capabilities = splitList(c.req.header('x-capabilities'))
  mayActAs(c.get('identity'), workerId, store.registry, {registers: 'check'})
  const {hostname} = roster.profile(workerId)
  await instances.admit({workerId, instance, hostname})
  if (c.env.outgoing.destroyed) return c.body(null) // the worker has gone away meanwhile
  commits.write(() => {
    actAs(c, parts, workerId)
    recordContact(parts, workerId)
  })
  return openEventStream(c, parts.openStreams, (events) => {
    const who = {
      workerId,
      agentName,
      instance,
      hostname,
      capabilities: capabilities.length > 0 ? capabilities : registered,
    }
    leases.doubt(leases.heldBy(workerId))
    const codebases = ownOf(c, parts, splitList(c.req.header('x-codebases')))
    const stream = hub.connect({...who, codebases}, events, (ended) => {
      if (roster.isKnown(workerId)) leases.recordContact(workerId)
      recordConnection(parts, ended, 'disconnected')
      commits.afterCommit(() => dispatch.onDisconnected(ended))
    })
    recordConnection(parts, stream, 'connected')
    const timestamp = isoTime(clock.now())
    const message = 'Connected to task stream'
    stream.send('connected', {event: 'connected', worker_id: workerId, agent_name: agentName, message, timestamp})
    for (const {taskId} of leases.heldBy(workerId)) {
      const task = store.tasks.get(taskId)
      if (task?.cancel_requested_at) sendCancel(parts, workerId, task, 'cancelled while you were away')
    }

    commits.afterCommit(() => dispatch.onReturned(workerId))
  })
}

/** Of these codebases those that the worker may name: with a worker's token its own, otherwise all. */
function ownOf(c: Context<AppEnv>, parts: Parts, codebases: readonly string[]): string[] {
  const isBounded = c.get('only') !== undefined
  return codebases.filter((id) => !isBounded || ownsCodebase(parts, workerIdOf(c), id))
}

function recordConnection({monitor, roster}: Parts, stream: TaskStream, change: 'connected' | 'disconnected'): void {
  const {workerId, agentName: name} = stream
  monitor.record({type: 'worker', change, workerId, name, hostname: roster.profile(workerId).hostname})
}

function connections(app: Hono<AppEnv>, parts: Parts): void {
  const {hub, commits, dispatch} = parts

  app.get(routes.connected, (c) => {
    const only = c.get('only')
    const streams = [...hub.streams()].filter(({workerId}) => only === undefined || workerId === only)
    const workers = pageOf(
      c,
      streams,
      ({workerId}) => [workerId],
      (stream) => connection(parts, stream),
    )
    return c.json({workers, count: streams.length, timestamp: isoTime(parts.clock.now())})
  })

  app.get(routes.connectedWorker, (c) => {
    const workerId = c.req.param('worker')
    const stream = hub.streamOf(workerId)
    if (!stream) throw notFound(`Worker ${workerId} not found or not connected`)
    return c.json(connection(parts, stream))
  })

  app.put(routes.workerCodebases, async (c) => {
    const body = await readBody(c, workerCodebasesSchema)
    const codebases = ownOf(c, parts, body.codebases)
    const worker_id = workerIdOf(c)
    const stream = hub.streamOf(worker_id)
    if (!stream) throw notFound(`Worker ${worker_id} not found (not connected via SSE?)`)
    hub.setCodebases(stream, codebases)
    commits.afterCommit(() => dispatch.fillWorker(worker_id))
    return c.json({success: true, worker_id, codebases, message: 'Codebases updated'})
  })
}

function connection({leases}: Parts, stream: TaskStream) {
  const [first] = leases.heldBy(stream.workerId)
  return {
    worker_id: stream.workerId,
    agent_name: stream.agentName,
    connected_at: stream.connectedAt,
    last_heartbeat: stream.lastHeartbeat,
    is_busy: first !== undefined,
    current_task_id: first?.taskId ?? null,
    capabilities: stream.capabilities,
    codebases: [...stream.codebases],
  }
}

const splitList = (header: string | undefined) =>
  (header ?? '')
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
