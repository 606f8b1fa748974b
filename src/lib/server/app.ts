import type {HttpBindings} from '@hono/node-server'
import {Hono} from 'hono'
import {routes} from '../protocol/routes.ts'
import {Authenticator, mayCall, type AuthMode, type Token} from './auth.ts'
import {claimRoutes} from './claim-routes.ts'
import {codebaseRoutes} from './codebase-routes.ts'
import {outputRoutes} from './output-routes.ts'
import type {Plane} from './plane.ts'
import {Refusal} from './refusal.ts'
import type {Ctx, Env} from './requests.ts'
import {taskRoutes} from './task-routes.ts'
import {workerRoutes} from './worker-routes.ts'

export type AppOptions = {
  plane: Plane
  tokens: readonly Token[]
  auth: AuthMode
  version: string
  log: (line: string) => void
}

const open = new Set<string>([routes.health, routes.livez, routes.readyz])

/** The HTTP side of a plane: who may call, which route it is, and errors in the existing server's shapes. */
export function createApp({plane, tokens, auth, version, log}: AppOptions): Hono<Env> {
  const app = new Hono<{Bindings: HttpBindings} & Env>({strict: false})
  const authenticator = new Authenticator(tokens)

  app.onError((error, c) => {
    if (error instanceof Refusal) return c.json({detail: error.detail, ...error.extra}, error.status)
    log(`${c.req.method} ${c.req.path}: ${error.stack ?? error.message}`)
    return c.json({detail: 'Internal Server Error'}, 500)
  })
  app.notFound((c) => {
    const known = app.routes.some(({path, method}) => method !== 'ALL' && pathMatches(path, c.req.path))
    return known ? c.json({detail: 'Method Not Allowed'}, 405) : c.json({detail: 'Not Found'}, 404)
  })
  app.use(async (c, next) => {
    const {path} = c.req
    const guarded = auth === 'required' ? !open.has(path) : auth === 'stream-only' && path.startsWith('/v1/worker/')
    c.set('caller', guarded ? identify(authenticator, plane, c) : {name: 'anyone', scope: 'admin'})
    await next()
  })

  const health = () => ({status: 'healthy', timestamp: plane.now(), version})
  for (const path of open) app.get(path, (c) => c.json(health()))
  app.get(routes.status, (c) => c.json(status(plane)))
  workerRoutes(app, plane, (c, workerId) => bind(plane, c, workerId))
  codebaseRoutes(app, plane)
  taskRoutes(app, plane)
  outputRoutes(app, plane)
  claimRoutes(app, plane)
  return app
}

function identify(authenticator: Authenticator, plane: Plane, c: Ctx) {
  const token = authenticator.identify(c.req.header('authorization'))
  if (token === 'missing') throw new Refusal(401, 'Missing Bearer token')
  if (token === 'invalid') throw new Refusal(403, 'Invalid token')
  if (!mayCall(token.scope, c.req.method, c.req.path))
    throw new Refusal(403, `A token of scope ${token.scope} may not call ${c.req.method} ${c.req.path}`)
  const bound = token.workerId ?? (token.scope === 'worker' ? plane.store.boundWorker(token.name) : undefined)
  return {name: token.name, scope: token.scope, ...(bound === undefined ? {} : {workerId: bound})}
}

/** A worker's token without an id becomes that of the worker that registers with it first. */
function bind(plane: Plane, c: Ctx, workerId: string): void {
  const {scope, name, workerId: own} = c.get('caller')
  if (scope !== 'worker') return
  const bound = own ?? plane.store.bindToken(name, workerId)
  if (bound !== workerId) throw new Refusal(403, `This token belongs to worker ${bound}, not to ${workerId}`)
}

function status(plane: Plane) {
  const workers = plane.hub.all().length
  return {
    available: workers > 0,
    message: workers > 0 ? `${workers} worker(s) connected` : 'No worker is connected',
    opencode_binary: null,
    registered_codebases: plane.store.codebases().length,
    auto_start: false,
    runtime: null,
    queue: {pending: plane.store.countTasks('pending'), running: plane.store.countTasks('running')},
  }
}

function pathMatches(pattern: string, path: string): boolean {
  const a = pattern.split('/')
  const b = path.replace(/\/$/, '').split('/')
  return a.length === b.length && a.every((part, i) => part.startsWith(':') || part === b[i])
}
