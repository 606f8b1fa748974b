import {pageLinkSchema} from '../../protocol/monitor-schemas.ts'
import {pathTo} from '../../protocol/routes.ts'
import type {ControlPlaneClient} from '../control-plane.ts'

/** An address of the monitor page. `expiresIn`: for how many seconds it works, once. Null: it is not limited. */
export type PageLink = {url: string; expiresIn: number | null}

/** Asks the control plane for a link that logs a browser in. Throws RefusedError or UnreachableError. */
export async function createPageLink(client: ControlPlaneClient): Promise<PageLink> {
  const {path, expires_in: expiresIn} = await client.http.call(pageLinkSchema, {
    what: 'Cannot open the monitor page',
    method: 'POST',
    path: pathTo('pageLink'),
  })
  return {url: `${client.url}${path}`, expiresIn}
}

/** The address of a task on the monitor page. */
export const taskPage = (server: string, taskId: string) => `${server}/ui/tasks/${encodeURIComponent(taskId)}`
