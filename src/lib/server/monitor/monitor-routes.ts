import type {Context, Hono} from 'hono'
import {interveneSchema, searchQuerySchema} from '../../protocol/monitor-schemas.ts'
import {routes} from '../../protocol/routes.ts'
import {readBody, readQuery} from '../http/body.ts'
import {intervene} from '../rules/registry/connections.ts'
import type {AppEnv} from '../http/app-env.ts'
import {openEventStream} from '../streams/event-stream.ts'
import {notFound} from '../http/http-error.ts'
import {toCsv, toJson} from './monitor-export.ts'
import {followMonitor} from './monitor-stream.ts'
import {agentsOf, countMessages, listMessages, searchMessages, statsOf} from './monitor-view.ts'
import {asIs, nextCursorHeader, pageOf} from '../http/paging.ts'
import type {Plane} from '../plane/plane.ts'
import type {Following} from '../streams/change-notices.ts'
import type {MonitorLog} from '../streams/monitor-log.ts'

export type MonitorRouteOptions = {plane: Plane; monitor: MonitorLog; following: Following}

/** Routes of the monitoring log and its statistics. They must never delay dispatch. */
export function monitorRoutes(app: Hono<AppEnv>, options: MonitorRouteOptions): void {
  const {monitor, plane, following} = options
  const monitored = {monitor, state: plane.state}
  app.get(routes.monitorStats, (c) => c.json(statsOf(monitored)))
  app.get(routes.monitorAgents, (c) => c.json(pageOf(c, agentsOf(monitored, c.get('only')), ({id}) => [id], asIs)))
  messages(app, options)
  exporting(app, options)

  app.get(routes.monitorStream, (c) => {
    const last = Number(c.req.header('last-event-id') ?? c.req.query('since') ?? Number.NaN)
    return openEventStream(c, following.openStreams, (stream) => {
      following.hub.track(stream)
      const after = Number.isSafeInteger(last) ? last : undefined
      followMonitor({...monitored, keepAliveMs: following.keepAliveMs}, stream, after).catch((error: unknown) => {
        following.log(`the monitoring stream failed: ${String(error)}`)
        stream.close()
      })
    })
  })

  // a running agent reads only its prompt, so the answer says that the message was not delivered
  app.post(routes.monitorIntervene, async (c) => {
    const {agent_id: agentId, message: text, timestamp} = await readBody(c, interveneSchema)
    if (!plane.state.get('worker', agentId)) throw notFound('Agent not found')
    await plane.run(intervene, {agentId, text})
    const message =
      'Not delivered: a running agent takes no messages. Cancel its task, or resume its session with a prompt'
    return c.json({
      success: false,
      message,
      intervention: {agent_id: agentId, message: text, timestamp, delivered: false},
    })
  })
}

function messages(app: Hono<AppEnv>, {monitor}: MonitorRouteOptions): void {
  app.get(routes.monitorMessages, (c) => {
    const {messages, next} = listMessages({monitor}, c.req.query())
    if (next !== undefined) c.header(nextCursorHeader, next)
    return c.json(messages)
  })

  app.get(routes.monitorMessageCount, (c) => {
    const type = c.req.query('type') || undefined
    return c.json({total: countMessages({monitor}, type), type_filter: type ?? null})
  })

  app.get(routes.monitorSearch, async (c) => {
    const {q: query, ...rest} = readQuery(c, searchQuerySchema)
    const results = await searchMessages({monitor}, query, rest)
    return c.json({query, results, count: results.length})
  })
}

/** Exports need a token even where reading does not: see `createAuthGuard`. */
function exporting(app: Hono<AppEnv>, {monitor}: MonitorRouteOptions): void {
  const all = () => monitor.entries().map(({message}) => message)
  const send = (c: Context<AppEnv>, type: string, pieces: Iterable<string>) => {
    const name = `messages.${type.includes('csv') ? 'csv' : 'json'}`
    const headers = {'content-type': type, 'content-disposition': `attachment; filename="${name}"`}
    return c.body(ReadableStream.from(withTurns(pieces)) as ReadableStream<Uint8Array>, 200, headers)
  }
  app.get(routes.monitorExportJson, (c) => send(c, 'application/json', toJson(all())))
  app.get(routes.monitorExportCsv, (c) => send(c, 'text/csv; charset=utf-8', toCsv(all())))
}

async function* withTurns(pieces: Iterable<string>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  for (const piece of pieces) {
    yield encoder.encode(piece)
    await new Promise(setImmediate)
  }
}
