import {ExpectedError} from '../../core/errors.ts'
import {backupSchema, type BackupAnswer} from '../../protocol/monitor-schemas.ts'
import {pathTo} from '../../protocol/routes.ts'
import type {ControlPlaneClient} from '../control-plane.ts'
import {RefusedError} from '../http.ts'

/** A database has up to some gigabytes. */
const timeoutMs = 600_000

/** Lets the control plane copy its database. Throws ExpectedError, RefusedError or UnreachableError. */
export async function backUp(client: ControlPlaneClient): Promise<BackupAnswer> {
  try {
    const call = {what: 'Cannot back up the control plane', method: 'POST', path: pathTo('backup')} as const
    return await client.http.call(backupSchema, {...call, timeoutMs})
  } catch (error) {
    if (!(error instanceof RefusedError) || !error.hasNoRoute) throw error
    throw new ExpectedError('This server makes no backup.', {
      ...{code: 'NO_BACKUP', exit: 'failed', cause: error},
      suggestions: ['An a2a-worker control plane with its state in a file does. See `a2a-worker serve --help`'],
    })
  }
}
