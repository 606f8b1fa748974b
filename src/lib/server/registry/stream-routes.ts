import type {Context, Hono} from 'hono'
import {isoTime} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import {routes} from '../../protocol/routes.ts'
import {workerCodebasesSchema} from '../../protocol/schemas.ts'
import {mayActAs} from '../http/auth.ts'
import {readBody} from '../http/body.ts'
import type {AppEnv} from '../http/app-env.ts'
import {openEventStream} from '../streams/event-stream.ts'
import {notFound} from '../http/http-error.ts'
import {isPythonWorker, tokenNameOf} from '../http/peer.ts'
import {workerIdOf} from '../http/worker-id.ts'
import {pageOf} from '../http/paging.ts'
import type {OpenStreams} from '../limits/open-streams.ts'
import type {Plane} from '../plane/plane.ts'
import {admitWorker, bindingsIn} from '../rules/registry/binding.ts'
import {ownsCodebase} from '../rules/dispatch/boundary.ts'
import {connect, disconnect, nameCodebases} from '../rules/registry/connections.ts'
import {profileOf} from '../rules/dispatch/roster.ts'
import type {Log} from '../streams/activity-lines.ts'
import {all, type Connection} from '../state/records.ts'
import type {State} from '../state/state.ts'
import type {Hub} from '../streams/hub.ts'
import type {Instances} from './instances.ts'

export type StreamRouteOptions = {
  plane: Plane
  hub: Hub
  instances: Instances
  openStreams: OpenStreams
  log: Log
  /** Names this control plane among those that share the state. */
  replica: string
  /** Every request needs a token. The existing worker sends one with its stream only. */
  needsTokens: boolean
}

/** Routes of task streams: a worker opens one, and clients see which are open. */
export function streamRoutes(app: Hono<AppEnv>, options: StreamRouteOptions): void {
  const warn = warnOfMissingTokens(options)
  app.get(routes.taskStream, (c) => {
    warn(c)
    return openTaskStream(c, options)
  })
  connections(app, options)
}

/** How many workers are remembered as warned of. */
const maxWarned = 1000

/**
 * Tells the operator why a Python worker stays without tasks. It sends its token with the stream only: where each request
 * needs one, its stream opens and all else that it sends is refused, which it ignores.
 */
function warnOfMissingTokens({needsTokens, plane, log}: StreamRouteOptions): (c: Context<AppEnv>) => void {
  const warned = new Set<string>()
  return (c) => {
    if (!needsTokens || !isPythonWorker(c)) return
    const workerId = workerIdOf(c)
    if (warned.has(workerId) || warned.size >= maxWarned || plane.state.get('worker', workerId)) return
    warned.add(workerId)
    const name = c.req.query('agent_name') ?? workerId
    log(
      `worker ${name} (${workerId}) gets no tasks: it is a Python worker, which sends its token with the task stream only, and all its other requests are refused. Start the control plane with --auth stream-only`,
    )
  }
}

async function openTaskStream(c: Context<AppEnv>, options: StreamRouteOptions): Promise<Response> {
  const {plane, hub, instances, log, replica} = options
  const workerId = workerIdOf(c)
  const {name, hostname, capabilities: registered} = profileOf(plane.state, workerId)
  const instance = c.req.header('x-instance') || null
  const agentName = c.req.query('agent_name') || c.req.header('x-agent-name') || name
  const named = splitList(c.req.header('x-capabilities'))
  const capabilities = named.length > 0 ? named : registered
  const identity = c.get('identity')
  mayActAs(identity, workerId, bindingsIn(plane.state), {registers: 'check'})
  await instances.admit({workerId, instance, hostname})
  if (c.env.outgoing.destroyed) return c.body(null) // the worker has gone away meanwhile
  await plane.run(admitWorker, {identity, workerId, by: tokenNameOf(c)})
  return openEventStream(c, options.openStreams, (events) => {
    const codebases = ownOf(c, plane, splitList(c.req.header('x-codebases')))
    const timestamp = isoTime(plane.state.now)
    const who = {workerId, agentName, instance, hostname, capabilities, codebases, connectedAt: timestamp, replica}
    const stream = hub.connect(who, events, ({connectionId}) =>
      plane.runLater(disconnect, {workerId, connectionId}, 'recording the end of a task stream'),
    )
    const message = 'Connected to task stream'
    stream.send('connected', {event: 'connected', worker_id: workerId, agent_name: agentName, message, timestamp})
    plane.run(connect, stream.connection).catch((error: unknown) => {
      log(`a task stream could not be opened: ${messageOf(error)}`, 'error')
      stream.close()
    })
  })
}

/** Of these codebases those that the worker may name: with a worker's token its own, otherwise all. */
function ownOf(c: Context<AppEnv>, {state}: Plane, codebases: readonly string[]): string[] {
  const isBounded = c.get('only') !== undefined
  return codebases.filter((id) => !isBounded || ownsCodebase(state, workerIdOf(c), id))
}

function connections(app: Hono<AppEnv>, {plane}: StreamRouteOptions): void {
  const {state} = plane
  app.get(routes.connected, (c) => {
    const only = c.get('only')
    const open = [...state.find('connections', all)].filter(({workerId}) => only === undefined || workerId === only)
    const workers = pageOf(c, open.toSorted(byWorker), ({workerId}) => [workerId], shownConnection(state))
    return c.json({workers, count: open.length, timestamp: isoTime(state.now)})
  })

  app.get(routes.connectedWorker, (c) => {
    const workerId = c.req.param('worker')
    const connection = state.get('connection', workerId)
    if (!connection) throw notFound(`Worker ${workerId} not found or not connected`)
    return c.json(shownConnection(state)(connection))
  })

  app.put(routes.workerCodebases, async (c) => {
    const body = await readBody(c, workerCodebasesSchema)
    const codebases = ownOf(c, plane, body.codebases)
    const worker_id = workerIdOf(c)
    if (!state.get('connection', worker_id)) throw notFound(`Worker ${worker_id} not found (not connected via SSE?)`)
    await plane.run(nameCodebases, {workerId: worker_id, codebases})
    return c.json({success: true, worker_id, codebases, message: 'Codebases updated'})
  })
}

const byWorker = (a: Readonly<Connection>, b: Readonly<Connection>) =>
  a.connectedAt < b.connectedAt || (a.connectedAt === b.connectedAt && a.workerId < b.workerId) ? -1 : 1

const shownConnection = (state: State) => (connection: Readonly<Connection>) => {
  const {workerId, agentName, connectedAt, capabilities, codebases} = connection
  const [first] = state.find('leasesOf', workerId)
  const seen = state.get('presence', workerId)?.lastSeen
  return {
    worker_id: workerId,
    agent_name: agentName,
    connected_at: connectedAt,
    last_heartbeat: seen === undefined ? connectedAt : isoTime(seen),
    is_busy: first !== undefined,
    current_task_id: first?.taskId ?? null,
    capabilities,
    codebases,
  }
}

const splitList = (header: string | undefined) =>
  (header ?? '')
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
