import type {Hono} from 'hono'
import {isoTime} from '../core/clock.ts'
import {isNonce, localProof, proofHeader} from '../protocol/local-proof.ts'
import {routes} from '../protocol/routes.ts'
import {openPaths} from './http/page-rights.ts'
import {agentCard} from './http/agent-card.ts'
import type {AppEnv} from './http/app-env.ts'
import {HttpError, notFound} from './http/http-error.ts'
import type {Plane} from './plane/plane.ts'
import {all} from './state/records.ts'
import type {DiskGuard} from './store/disk-guard.ts'

export type HealthRouteOptions = {
  plane: Plane
  disk: DiskGuard
  /** Version of the program, if known. */
  version: string | undefined
  asksForTokens: boolean
  /** Set in the control plane of a machine, which proves to clients that it knows this token. */
  localToken: string | undefined
  /** Where workers and clients reach the control plane. Known once it listens. */
  publicUrl: () => string
}

/** Routes for health checks, and descriptions of the control plane. */
export function healthRoutes(app: Hono<AppEnv>, options: HealthRouteOptions): void {
  const {plane, disk, version, asksForTokens, localToken, publicUrl} = options
  const timestamp = () => isoTime(plane.state.now)
  app.get(routes.root, (c) => c.html(frontPage))
  app.get(routes.health, (c) => {
    const full = disk.isFull ? 'the disk of the control plane is full: it drops output' : null
    const problem = plane.problem === undefined ? full : `the control plane takes no requests: ${plane.problem}`
    const status = problem === null ? 'healthy' : 'degraded'
    return c.json({status, version, timestamp: timestamp(), ...(problem === null ? {} : {problem})})
  })
  app.get(routes.livez, (c) => c.json({status: 'alive', timestamp: timestamp()}))
  // reads the store, so that a broken database fails here and not at the next task
  app.get(routes.readyz, (c) => {
    plane.views.probe()
    return c.json({status: 'ready', workers: plane.state.count('workers', all), timestamp: timestamp()})
  })
  app.get(routes.localProof, (c) => {
    const nonce = c.req.query('nonce')
    if (localToken === undefined) throw notFound('This is not the control plane of a machine')
    if (!isNonce(nonce)) throw new HttpError(400, 'nonce must be 20 to 100 letters, digits, - or _')
    c.header(proofHeader, localProof({token: localToken, port: c.env.incoming.socket.localPort ?? 0, nonce}))
    return c.json({success: true})
  })
  app.get(routes.agentCard, (c) => c.json(agentCard({url: publicUrl(), version: version ?? 'unknown', asksForTokens})))
  let document: Promise<Record<string, unknown>> | undefined
  app.get(routes.openapi, async (c) => {
    document ??= describeApi({version: version ?? 'unknown', asksForTokens})
    return c.json(await document)
  })
  app.get(routes.status, (c) =>
    c.json({
      available: true,
      message: 'Control plane ready; OpenCode runs on the workers',
      opencode_binary: null,
      registered_codebases: plane.state.count('codebases', all),
      auto_start: false,
      runtime: null,
      tasks: plane.views.tasks.counts(),
    }),
  )
}

/** Until there is a page: what this address is, and what to use instead of a browser. */
const frontPage = `<!doctype html><meta charset="utf-8"><title>a2a-worker</title><p>This is a control plane of a2a-worker. Use it with the command <code>a2a-worker</code> (<code>a2a-worker status --server ADDRESS</code>), or with its API: <a href="/openapi.json">/openapi.json</a>.</p>\n`

/** Generated at the first request, so that the start need not wait for it. */
async function describeApi(facts: {version: string; asksForTokens: boolean}): Promise<Record<string, unknown>> {
  const {openApiDocument} = await import('./http/openapi.ts')
  return openApiDocument({...facts, isOpen: (path) => openPaths.has(path)})
}
