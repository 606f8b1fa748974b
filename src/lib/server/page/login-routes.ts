import type {Context, Hono} from 'hono'
import * as v from 'valibot'
import {limits} from '../../protocol/limits.ts'
import {routes} from '../../protocol/routes.ts'
import type {AppEnv} from '../http/app-env.ts'
import {named, type Identity} from '../http/auth.ts'
import {readForm} from '../http/body.ts'
import {HttpError} from '../http/http-error.ts'
import {firstPage, pagePaths, pathOf, rightOf} from '../http/page-rights.ts'
import {mayCall} from '../http/rights.ts'
import {tokenNameOf} from '../http/peer.ts'
import type {Gate} from '../limits/gate.ts'
import type {Plane} from '../plane/plane.ts'
import {
  closeBrowserSession,
  createPageLink,
  linkMs,
  openBrowserSession,
  pageLinkOf,
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

const enterSchema = v.object({code: v.string()})

/** Whether the person has opened this address, as far as the browser can tell: no other site has led there. */
const isOwnStep = (c: Context<AppEnv>) => /^(none|same-origin)$/.test(c.req.header('sec-fetch-site') ?? '')

/** Routes with which browsers log in and out: with a token, or with a link that works once. */
export function loginRoutes(app: Hono<AppEnv>, options: LoginOptions): void {
  const {plane, gate, tokenByHash, asksForTokens} = options
  const ownerOf = (token: string | undefined): Identity => {
    const identity = token === undefined ? undefined : tokenByHash(token)
    if (identity) return identity
    throw new HttpError(403, 'This link was used before, or is older than a minute. For another one: a2a-worker open')
  }

  app.get(pagePaths.login, async (c) => {
    if (!asksForTokens) return redirect(c, firstPage)
    const {loginPage} = await loadViews()
    return respond(c, loginPage({next: ownPath(c.req.query('next'))}))
  })

  app.post(pagePaths.login, async (c) => {
    const {token, next} = await readForm(c, loginSchema)
    await logIn(c, plane, gate.identify(c, token))
    return redirect(c, ownPath(next) || firstPage)
  })

  app.get(pagePaths.enter, async (c) => {
    // this only asks, so no preview and no scanner of links uses one up
    const code = c.req.query('code') ?? ''
    const identity = ownerOf(pageLinkOf(plane.state, hashOf(code)))
    const former = c.get('identity')
    const isOther = former !== undefined && former.hash !== identity.hash
    const {enterPage} = await loadViews()
    return respond(
      c,
      enterPage({code, identity, former: isOther ? former : undefined, isSure: !isOther && isOwnStep(c)}),
    )
  })

  app.post(pagePaths.enter, async (c) => {
    const {code} = await readForm(c, enterSchema)
    await logIn(c, plane, ownerOf(await plane.run(usePageLink, {hash: hashOf(code)})))
    return redirect(c, firstPage)
  })

  app.post(pagePaths.logout, async (c) => {
    const hash = cookieHash(c)
    if (hash !== undefined) await plane.run(closeBrowserSession, {hash, by: tokenNameOf(c)})
    setCookie(c, undefined)
    return redirect(c, asksForTokens ? pathOf('login') : firstPage)
  })

  app.post(routes.pageLink, async (c) => {
    const identity = c.get('identity')
    if (!identity) return c.json({success: true, path: routes.root, expires_in: null})
    const code = newSecret()
    await plane.run(createPageLink, {hash: hashOf(code), token: identity.hash})
    return c.json({success: true, path: `/${pathOf('enter', {}, {code})}`, expires_in: linkMs / 1000})
  })
}

async function logIn(c: Context<AppEnv>, plane: Plane, identity: Identity): Promise<void> {
  if (!mayCall(identity.scope, rightOf('get', pagePaths.overview)))
    throw new HttpError(403, `The token ${named(identity)}cannot log in: it is for ${identity.scope}`)
  const former = cookieHash(c)
  if (former !== undefined) await plane.run(closeBrowserSession, {hash: former, by: tokenNameOf(c)})
  const secret = newSecret()
  const login = {token: identity.hash, by: identity.name || null}
  await plane.run(openBrowserSession, {...login, hash: hashOf(secret)})
  setCookie(c, secret)
}
