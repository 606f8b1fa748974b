import type {Context, Hono} from 'hono'
import {routes} from '../../protocol/routes.ts'
import {listCodebases} from '../registry/codebase-list.ts'
import type {AppEnv} from '../http/app-env.ts'
import {HttpError} from '../http/http-error.ts'
import {asIs, nextCursorHeader, pageOf} from '../http/paging.ts'
import type {Plane} from '../plane/plane.ts'
import {all, type StoredWorker} from '../state/records.ts'
import {inOrder, wireWorker} from '../registry/registry-view.ts'
import {pageOfSessions} from './session-view.ts'

const source = 'sqlite'

/** Routes that show the contents of the database to operators. */
export function databaseRoutes(app: Hono<AppEnv>, {plane}: {plane: Plane}): void {
  const {state, views} = plane

  app.get(routes.databaseStatus, (c) => {
    const tasks = Object.values(views.tasks.counts()).reduce((sum, count) => sum + count, 0)
    const stats = {
      workers: state.count('workers', all),
      codebases: state.count('codebases', all),
      tasks,
      sessions: views.sessions.count(),
    }
    return c.json({available: true, message: 'SQLite, inside this process', stats, size_bytes: views.size()})
  })

  app.get(routes.databaseWorkers, (c) => {
    const known = inOrder(state.find('knownWorkers', all))
    const models = views.models()
    const show = (worker: Readonly<StoredWorker>) => wireWorker(state, worker, models.get(worker.worker_id))
    const workers = pageOf(c, known, ({registered_at, worker_id}) => [registered_at, worker_id], show)
    return c.json({workers, total: known.length, source})
  })

  app.get(routes.databaseCodebases, (c) => {
    const known = listCodebases(state, {includeDuplicates: true})
    const codebases = pageOf(c, known, ({registered_at, id}) => [registered_at ?? '', id], asIs)
    return c.json({codebases, total: known.length, source})
  })

  app.get(routes.databaseSessions, (c) => {
    const {page, next} = pageOfSessions(plane, 'all', {...c.req.query(), offset: readOffset(c)})
    if (next !== undefined) c.header(nextCursorHeader, next)
    return c.json({sessions: page, total: views.sessions.count(), source})
  })
}

function readOffset(c: Context<AppEnv>): number {
  const text = c.req.query('offset') ?? '0'
  if (!/^\d{1,9}$/.test(text)) throw new HttpError(400, 'offset must be a number from 0 on')
  return Number(text)
}
