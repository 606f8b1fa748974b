import type {Hono} from 'hono'
import {routes} from '../protocol/routes.ts'
import type {AppEnv} from './http/app-env.ts'
import {conflict, HttpError} from './http/http-error.ts'
import type {Plane} from './plane/plane.ts'
import {type Backup, NoRoomForBackup} from './store/backup.ts'

export type BackupRouteOptions = {
  plane: Plane
  /** Copies the database. Undefined: it is not the only place of the state. */
  backUp: (() => Promise<Backup>) | undefined
}

/** The route that copies the database. */
export function backupRoutes(app: Hono<AppEnv>, {plane, backUp}: BackupRouteOptions): void {
  app.post(routes.backup, async (c) => {
    if (!backUp) throw conflict('The state is not in a file of this control plane: back up the data of Redis')
    await plane.durable()
    const made = await backUp().catch((error: unknown) => {
      throw error instanceof NoRoomForBackup
        ? new HttpError(503, `There is no room for a backup: ${error.message}`)
        : error
    })
    return c.json({success: true, ...made})
  })
}
