import type {Hono} from 'hono'
import {routes} from '../../protocol/routes.ts'
import type {AppEnv} from '../http/app-env.ts'
import type {PlaneMetrics} from './metrics.ts'
import type {GaugeSources} from './plane-gauges.ts'

export type MetricsRouteOptions = Omit<GaugeSources, 'version'> & {
  metrics: PlaneMetrics
  /** Version of the program, if known. */
  version: string | undefined
}

/** The route that Prometheus scrapes. It is answered while the store is out of reach, and says that. */
export function metricsRoutes(app: Hono<AppEnv>, {metrics, ...options}: MetricsRouteOptions): void {
  const {version = 'unknown', plane, hub, disk, refusals} = options
  app.get(routes.metrics, async (c) => {
    const {text, contentType} = await metrics.scrape({plane, hub, disk, refusals, version})
    return c.body(text, 200, {'content-type': contentType, 'cache-control': 'no-store'})
  })
}
