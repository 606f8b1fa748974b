import type {Hono} from 'hono'
import type {AppEnv} from '../http/app-env.ts'
import {notFound} from '../http/http-error.ts'
import {pagePaths} from '../http/page-rights.ts'

/** The route of the script and the stylesheet. They are read with the first page. */
export function assetRoutes(app: Hono<AppEnv>): void {
  app.get(pagePaths.asset, async (c) => {
    const {script, stylesheet} = await import('./views/asset-files.ts')
    const asset = new Map([
      ['monitor.js', script],
      ['monitor.css', stylesheet],
    ]).get(c.req.param('file'))
    if (!asset) throw notFound('There is no such file')
    return c.body(asset.text, 200, {
      'content-type': asset.type,
      'x-content-type-options': 'nosniff',
      'cache-control': asset.version === c.req.query('v') ? 'public, max-age=31536000, immutable' : 'no-cache',
    })
  })
}
