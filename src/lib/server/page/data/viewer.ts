import type {Context} from 'hono'
import type {AppEnv} from '../../http/app-env.ts'
import {mayCall, rights} from '../../http/rights.ts'
import {hasBrowserCookie} from './browser-cookie.ts'

/** Who looks at a page, and what the page may offer. The routes check the rights themselves. */
export type Viewer = {
  /** The name of the token. Empty: it has none. Null: no token is needed. */
  name: string | null
  scope: string | null
  /** The only worker whose data is shown. Undefined: all. */
  only: string | undefined
  /** Creating, cancelling, answering, registering. */
  mayManage: boolean
  hasSession: boolean
}

export function viewerOf(c: Context<AppEnv>): Viewer {
  const identity = c.get('identity')
  const {post} = rights.taskCancel
  return {
    name: identity ? identity.name : null,
    scope: identity?.scope ?? null,
    only: c.get('only'),
    mayManage: post !== undefined && mayCall(identity?.scope, post),
    hasSession: identity !== undefined && hasBrowserCookie(c),
  }
}
