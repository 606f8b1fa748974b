import {Hono, type Context} from 'hono'
import {getPath} from 'hono/utils/url'
import {errorCode, messageOf} from '../core/errors.ts'
import {routes} from '../protocol/routes.ts'
import {auditRoutes} from './audit-routes.ts'
import {backupRoutes, type BackupRouteOptions} from './backup-routes.ts'
import {guardRoutes, recordRefusal} from './guard.ts'
import {codebaseRoutes} from './registry/codebase-routes.ts'
import {databaseRoutes} from './sessions/database-routes.ts'
import type {AppEnv} from './http/app-env.ts'
import {BodyBudget} from './http/body-budget.ts'
import type {Gate} from './limits/gate.ts'
import {healthRoutes, type HealthRouteOptions} from './health-routes.ts'
import {HttpError, notFound} from './http/http-error.ts'
import {isPage} from './http/page-rights.ts'
import {hasBrowserCookie, isStillIn} from './page/data/browser-cookie.ts'
import {pageRoutes, pathOfPage, type PageRouteOptions} from './page/page-routes.ts'
import {respondWithPage} from './page/respond.ts'
import {metricsRoutes, type MetricsRouteOptions} from './metrics/metrics-routes.ts'
import {monitorRoutes, type MonitorRouteOptions} from './monitor/monitor-routes.ts'
import {claimRoutes} from './tasks/claim-routes.ts'
import {inputRoutes} from './tasks/input-routes.ts'
import {outputRoutes} from './tasks/output-routes.ts'
import {sessionRoutes} from './sessions/session-routes.ts'
import {streamRoutes, type StreamRouteOptions} from './registry/stream-routes.ts'
import {taskRoutes} from './tasks/task-routes.ts'
import {workerRoutes, type WorkerRouteOptions} from './registry/worker-routes.ts'
import type {Refusals} from './limits/refusals.ts'
import type {RefusalAudit} from './refusal-audit.ts'

/** These are answered while the store is out of reach. */
const needsNoState: ReadonlySet<string> = new Set([routes.health, routes.livez, routes.metrics])

const cannotWrite = new HttpError(503, 'The database cannot be read or written now; try again')

const stopping = () =>
  new HttpError(503, 'This control plane is stopping; try again', {headers: {'retry-after': '1', connection: 'close'}})

const allRoutes = [
  healthRoutes,
  workerRoutes,
  codebaseRoutes,
  sessionRoutes,
  taskRoutes,
  outputRoutes,
  inputRoutes,
  claimRoutes,
  streamRoutes,
  monitorRoutes,
  databaseRoutes,
  auditRoutes,
  backupRoutes,
  pageRoutes,
  metricsRoutes,
]

/** What the routes need, and what every request passes. */
export type AppOptions = BackupRouteOptions &
  HealthRouteOptions &
  MetricsRouteOptions &
  MonitorRouteOptions &
  PageRouteOptions &
  StreamRouteOptions &
  WorkerRouteOptions & {
    gate: Gate
    /** The control plane takes no more requests: a load balancer asks another one. */
    isStopping: () => boolean
    refusals: Refusals
    refusalAudit: RefusalAudit
    /** How many bytes of request bodies may be in memory at once. */
    maxBodies: number
  }

/** Creates the HTTP application: guards, routes and error responses. */
export function createApp(options: AppOptions): Hono<AppEnv> {
  const {log, plane, refusals, refusalAudit, gate, isStopping, tokenByHash} = options
  const bodies = new BodyBudget(options.maxBodies)
  const app = new Hono<AppEnv>({getPath: (request) => pathOfPage(request, withoutTrailingSlash(getPath(request)))})

  const enter = async (c: Context<AppEnv>) => {
    try {
      gate.enter(c)
    } catch (error) {
      const isUnknown = error instanceof HttpError && error.status === 401 && isPage(c.req.path) && hasBrowserCookie(c)
      if (!isUnknown) throw error
      await plane.fresh() // the browser may have logged in at another replica a moment ago
      gate.enter(c)
    }
  }

  app.use(async (c, next) => {
    await enter(c)
    const identity = c.get('identity')
    if (identity) refusalAudit.recordUse(identity)
    await next()
  })

  // no response is sent before its changes are on disk
  app.use(async (c, next) => {
    using body = bodies.open()
    c.set('body', body)
    if (!needsNoState.has(c.req.path)) {
      if (isStopping()) throw stopping()
      await plane.fresh()
      if (isPage(c.req.path) && !isStillIn(c, plane.state, tokenByHash)) throw new HttpError(401, 'Log in again')
    }
    await next()
    await plane.durable().catch((error: unknown) => {
      log(`commit failed: ${messageOf(error)}`, 'error')
      throw cannotWrite
    })
  })

  guardRoutes(app, {state: plane.state, refusalAudit})
  for (const add of allRoutes) add(app, options)

  app.notFound((c) => {
    if (isPage(c.req.path)) return respondWithPage.problem(c, notFound('There is no such page'))
    const allowed = allowedMethods(app, c.req.path)
    if (allowed.length === 0) return c.json({detail: 'Not Found'}, 404)
    return c.json({detail: 'Method Not Allowed'}, 405, {allow: allowed.join(', ')})
  })

  app.onError((error, c) => {
    if (error instanceof HttpError) {
      // somebody opens the page, or its session is over: that is no attack
      const isLogin = error.status === 401 && isPage(c.req.path)
      if (isLogin) return respondWithPage.login(c)
      if ([401, 403].includes(error.status) || error.kind === 'wrong-token') recordRefusal(c, refusalAudit, error)
      if (error.kind) refusals.count(error.kind, c.get('client').name)
      if (isPage(c.req.path)) return respondWithPage.problem(c, error)
      return c.json(error.body, error.status, error.headers)
    }
    if (errorCode(error) === 'ERR_SQLITE_ERROR') {
      log(`database: ${messageOf(error)}, at ${c.req.method} ${c.req.path}`, 'error')
      if (isPage(c.req.path)) return respondWithPage.problem(c, cannotWrite)
      return c.json(cannotWrite.body, cannotWrite.status)
    }
    // the client has hung up while it sent its request: nobody waits for an answer
    if (c.env.incoming.destroyed && errorCode(error) === 'ECONNRESET') {
      refusals.count('hang-up', c.get('client').name)
      return c.body(null, 400)
    }
    log(`bug at ${c.req.method} ${c.req.path}: ${error.stack ?? error.message}`, 'error')
    return c.json({detail: 'Internal Server Error'}, 500)
  })
  return app
}

const patterns = Object.values(routes).map((route) => ({
  route,
  pattern: new RegExp(`^${route.replaceAll(/:[a-z]+/g, '[^/]+')}$`),
}))

function allowedMethods(app: Hono<AppEnv>, path: string): string[] {
  const matching = new Set<string>(patterns.filter(({pattern}) => pattern.test(path)).map(({route}) => route))
  const methods = app.routes.filter((route) => matching.has(route.path)).map(({method}) => method)
  return [...new Set(methods)].filter((method) => method !== 'ALL')
}

function withoutTrailingSlash(path: string): string {
  let end = path.length
  while (end > 1 && path[end - 1] === '/') end -= 1
  return path.slice(0, end)
}
