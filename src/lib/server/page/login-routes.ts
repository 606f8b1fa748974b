import type {Context, Hono} from 'hono'
import * as v from 'valibot'
import {limits} from '../../protocol/limits.ts'
import {routes} from '../../protocol/routes.ts'
import type {AppEnv} from '../http/app-env.ts'
import {named, type Identity} from '../http/auth.ts'
import {readForm} from '../http/body.ts'
import {HttpError} from '../http/http-error.ts'
import {pagePaths, pathOf, rightOf} from '../http/page-rights.ts'
import {mayCall} from '../http/rights.ts'
import {tokenNameOf} from '../http/peer.ts'
import type {Gate} from '../limits/gate.ts'
import type {Plane} from '../plane/plane.ts'
import {
  closeBrowserSession,
  createPageLink,
  linkMs,
  openBrowserSession,
  usePageLink,
} from '../rules/registry/browser-sessions.ts'
import {cookieHash, hashOf, newSecret, setCookie} from './data/browser-cookie.ts'
import {loadViews, ownPath, redirect, respond} from './respond.ts'

export type LoginOptions = {
  plane: Plane
  gate: Pick<Gate, 'identify'>
  /** Whose token has this hash, now. */
  tokenByHash: (hash: string) => Identity | undefined
  asksForTokens: boolean
}

const loginSchema = v.object({
  token: v.pipe(v.string(), v.trim(), v.minLength(1, 'Type a token'), v.maxLength(limits.path)),
  next: v.optional(v.string(), ''),
})

/** Routes with which browsers log in and out: with a token, or with a link that works once. */
export function loginRoutes(app: Hono<AppEnv>, options: LoginOptions): void {
  const {plane, gate, tokenByHash, asksForTokens} = options

  app.get(pagePaths.login, async (c) => {
    if (!asksForTokens) return redirect(c, routes.root)
    const {loginPage} = await loadViews()
    return respond(c, loginPage({next: ownPath(c.req.query('next'))}))
  })

  app.post(pagePaths.login, async (c) => {
    const {token, next} = await readForm(c, loginSchema)
    await logIn(c, plane, gate.identify(c, token))
    return redirect(c, ownPath(next) || routes.root)
  })

  app.get(pagePaths.enter, async (c) => {
    if (c.req.method === 'HEAD') return c.body(null) // a preview of the link must not use it up
    const hash = await plane.run(usePageLink, {hash: hashOf(c.req.query('code') ?? '')})
    const identity = hash === undefined ? undefined : tokenByHash(hash)
    if (!identity)
      throw new HttpError(403, 'This link was used before, or is older than a minute. For another one: a2a-worker open')
    await logIn(c, plane, identity)
    // a redirect would not do: a browser that comes from elsewhere shows a strict cookie only to a page that we have opened
    const {enteredPage} = await loadViews()
    return respond(c, enteredPage())
  })

  app.post(pagePaths.logout, async (c) => {
    const hash = cookieHash(c)
    if (hash !== undefined) await plane.run(closeBrowserSession, {hash, by: tokenNameOf(c)})
    setCookie(c, undefined)
    return redirect(c, asksForTokens ? pagePaths.login : routes.root)
  })

  app.post(routes.pageLink, async (c) => {
    const identity = c.get('identity')
    if (!identity) return c.json({success: true, path: routes.root, expires_in: null})
    const code = newSecret()
    await plane.run(createPageLink, {hash: hashOf(code), token: identity.hash})
    return c.json({success: true, path: pathOf('enter', {}, {code}), expires_in: linkMs / 1000})
  })
}

async function logIn(c: Context<AppEnv>, plane: Plane, identity: Identity): Promise<void> {
  if (!mayCall(identity.scope, rightOf('get', pagePaths.overview)))
    throw new HttpError(403, `The token ${named(identity)}cannot log in: it is for ${identity.scope}`)
  const secret = newSecret()
  const login = {token: identity.hash, by: identity.name || null}
  await plane.run(openBrowserSession, {...login, hash: hashOf(secret)})
  setCookie(c, secret)
}
