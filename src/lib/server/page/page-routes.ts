import type {Context, Hono} from 'hono'
import type {Clock} from '../../core/clock.ts'
import type {AppEnv} from '../http/app-env.ts'
import {pagePaths} from '../http/page-rights.ts'
import type {Following} from '../streams/change-notices.ts'
import type {MonitorLog} from '../streams/monitor-log.ts'
import {assetRoutes} from './assets.ts'
import {isStillIn} from './data/browser-cookie.ts'
import {codebasePages} from './codebase-pages.ts'
import {dayStatsReader} from './data/day-stats.ts'
import {serveLive, wantsEvents} from './live.ts'
import {loginRoutes, type LoginOptions} from './login-routes.ts'
import {overview} from './data/overview.ts'
import {loadViews, respond} from './respond.ts'
import {taskActions} from './task-actions.ts'
import {taskPages} from './task-pages.ts'
import {viewerOf} from './data/viewer.ts'

export type PageRouteOptions = LoginOptions & {
  monitor: MonitorLog
  following: Following
  clock: Pick<Clock, 'monotonic'>
  /** Where workers and clients reach the control plane. Known once it listens. */
  publicUrl: () => string
}

/** What workers report in heartbeats is no event, so the first page also looks at it in this interval. */
const overviewMs = 3000

/** The monitor page: what people see of the control plane in a browser. */
export function pageRoutes(app: Hono<AppEnv>, options: PageRouteOptions): void {
  const {plane, monitor, clock, tokenByHash} = options
  const live = {...options, isStillIn: (c: Context<AppEnv>) => isStillIn(c, plane.state, tokenByHash)}
  const day = dayStatsReader(plane.views.tasks, clock)

  app.get(pagePaths.overview, async (c) => {
    const {overviewPage, overviewRegions} = await loadViews()
    const viewer = viewerOf(c)
    if (!wantsEvents(c)) return respond(c, overviewPage(viewer, overview(plane, viewer, day)))
    return serveLive(c, live, {
      regions: () => overviewRegions(viewer, overview(plane, viewer, day)),
      follow: (notice) => monitor.follow(notice),
      everyMs: overviewMs,
      pauseMs: 1000,
    })
  })

  assetRoutes(app)
  loginRoutes(app, options)
  taskPages(app, live)
  taskActions(app, options)
  codebasePages(app, live)
}

/** A browser that opens the address of the control plane gets the page. Other clients get what they always got. */
export function pathOfPage(request: Pick<Request, 'method' | 'headers'>, path: string): string {
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  return path === '/' && isRead && request.headers.get('accept')?.includes('text/html') ? pagePaths.overview : path
}
