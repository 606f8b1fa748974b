import {createHash, randomBytes} from 'node:crypto'
import type {TLSSocket} from 'node:tls'
import type {Context} from 'hono'
import type {AppEnv} from '../../http/app-env.ts'
import type {Identity} from '../../http/auth.ts'
import {browserSessionOf, sessionMs} from '../../rules/registry/browser-sessions.ts'
import type {State} from '../../state/state.ts'

/** A new secret: of a cookie, or of a link. */
export const newSecret = () => randomBytes(32).toString('base64url')

/** The control plane keeps this of a secret: it recognizes the secret, and cannot tell it. */
export const hashOf = (secret: string) => createHash('sha256').update(secret).digest('hex')

/** Whether the browser speaks HTTPS, with this control plane or with a proxy in front. A false claim only costs the login. */
const isSecure = (c: Context<AppEnv>): boolean =>
  (c.env.incoming.socket as TLSSocket).encrypted === true || c.req.header('x-forwarded-proto') === 'https'

/** A browser shows a cookie to all ports of a host, so each control plane has a name of its own. */
function nameOf(c: Context<AppEnv>): string {
  const port = /:(\d+)$/.exec(c.req.header('host') ?? '')?.[1] ?? ''
  return `${isSecure(c) ? '__Host-' : ''}a2a-page${port === '' ? '' : `-${port}`}`
}

function secretOf(c: Context<AppEnv>): string | undefined {
  const name = nameOf(c)
  for (const pair of (c.req.header('cookie') ?? '').split(';')) {
    const [key = '', value = ''] = pair.trim().split('=')
    if (key === name && /^[\w-]{43}$/.test(value)) return value
  }
  return undefined
}

/** The hash of the cookie, if the browser has shown one. */
export function cookieHash(c: Context<AppEnv>): string | undefined {
  const secret = secretOf(c)
  return secret === undefined ? undefined : hashOf(secret)
}

/** Whether the browser has shown a cookie that may be one of ours. */
export const hasBrowserCookie = (c: Context<AppEnv>): boolean => secretOf(c) !== undefined

/** Whose rights the browser has: those of the token that it has logged in with, while that is valid. */
export function browserIdentity(
  c: Context<AppEnv>,
  state: State,
  byHash: (hash: string) => Identity | undefined,
): Identity | undefined {
  const hash = cookieHash(c)
  const session = hash === undefined ? undefined : browserSessionOf(state, hash)
  return session && byHash(session.token)
}

/** Whether the login holds that a request came with. It may have ended since: at another replica, or while a page is open. */
export const isStillIn = (c: Context<AppEnv>, state: State, byHash: (hash: string) => Identity | undefined): boolean =>
  c.get('identity') === undefined ||
  c.req.header('authorization') !== undefined ||
  browserIdentity(c, state, byHash) !== undefined

/** Gives the browser its cookie, or takes it away. */
export function setCookie(c: Context<AppEnv>, secret: string | undefined): void {
  const life = secret === undefined ? 0 : sessionMs / 1000
  const flags = `Path=/; HttpOnly; SameSite=Strict; Max-Age=${life}${isSecure(c) ? '; Secure' : ''}`
  c.header('set-cookie', `${nameOf(c)}=${secret ?? ''}; ${flags}`)
}
