import type {Context, Hono} from 'hono'
import {routes} from '../../protocol/routes.ts'
import {listCodebases} from '../registry/codebase-list.ts'
import type {AppEnv} from '../http/app-env.ts'
import {HttpError} from '../http/http-error.ts'
import {asIs, nextCursorHeader, pageOf} from '../http/paging.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredWorker} from '../store/store.ts'
import {wireWorker} from '../registry/registry-view.ts'
import {pageOfSessions} from './session-view.ts'

const source = 'sqlite'

/** Routes that show the contents of the database to operators. */
export function databaseRoutes(app: Hono<AppEnv>, parts: Parts): void {
  const {store} = parts

  app.get(routes.databaseStatus, (c) => {
    const tasks = Object.values(store.tasks.counts()).reduce((sum, count) => sum + count, 0)
    const stats = {...store.registry.counts(), tasks, sessions: store.sessions.count()}
    return c.json({available: true, message: 'SQLite, inside this process', stats, size_bytes: store.size()})
  })

  app.get(routes.databaseWorkers, (c) => {
    const all = store.registry.workers({all: true})
    const show = (worker: StoredWorker) => wireWorker(parts, worker)
    const workers = pageOf(c, all, ({registered_at, worker_id}) => [registered_at, worker_id], show)
    return c.json({workers, total: all.length, source})
  })

  app.get(routes.databaseCodebases, (c) => {
    const all = listCodebases(parts, {includeDuplicates: true})
    const codebases = pageOf(c, all, ({registered_at, id}) => [registered_at ?? '', id], asIs)
    return c.json({codebases, total: all.length, source})
  })

  app.get(routes.databaseSessions, (c) => {
    const {page, next} = pageOfSessions(parts, 'all', {...c.req.query(), offset: readOffset(c)})
    if (next !== undefined) c.header(nextCursorHeader, next)
    return c.json({sessions: page, total: store.sessions.count(), source})
  })
}

function readOffset(c: Context<AppEnv>): number {
  const text = c.req.query('offset') ?? '0'
  if (!/^\d{1,9}$/.test(text)) throw new HttpError(400, 'offset must be a number from 0 on')
  return Number(text)
}
