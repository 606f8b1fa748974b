import {createHash, timingSafeEqual} from 'node:crypto'
import {configError} from '../core/errors.ts'

export type Scope = 'admin' | 'client' | 'worker'
export type Token = {name: string; secret: string; scope: Scope; /** The one worker it may act as. */ workerId?: string}
export type AuthMode = 'required' | 'stream-only' | 'off'

/** Who calls. Without authentication everybody may do everything. */
export type Caller = {name: string; scope: Scope; workerId?: string}

/**
 * Reads `A2A_AUTH_TOKENS`: comma-separated `name:token`, split at the first colon as the existing server does; a pair
 * without a colon is a token without a name. The name may end in a scope: `ci/client:…`, `box/worker:…`, or
 * `box/worker=ID:…` for the worker it is bound to. Throws ExpectedError (78).
 */
export function parseTokens(text: string | undefined): Token[] {
  return (text ?? '')
    .split(',')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '')
    .map(parseToken)
}

function parseToken(pair: string): Token {
  const colon = pair.indexOf(':')
  const secret = pair.slice(colon + 1)
  const [, name = '', scope = 'admin', workerId] =
    /^(.*?)(?:\/([a-z]+)(?:=(.+))?)?$/s.exec(pair.slice(0, Math.max(colon, 0))) ?? []
  if (secret === '' || !['admin', 'client', 'worker'].includes(scope))
    throw configError(
      `A2A_AUTH_TOKENS: the entry ${JSON.stringify(`${pair.slice(0, Math.max(colon, 0))}:…`)} cannot be used.`,
      'Write name:token, name/client:token, name/worker:token or name/worker=WORKER_ID:token.',
    )
  return {name, secret, scope: scope as Scope, ...(workerId ? {workerId} : {})}
}

const digest = (text: string) => createHash('sha256').update(text).digest()

/** Finds the caller of a header, in time that does not depend on how much of a token is right. */
export class Authenticator {
  readonly #tokens: {token: Token; hash: Buffer}[]

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens.map((token) => ({token, hash: digest(token.secret)}))
  }

  /** The token of an `Authorization` header; `missing` where there is none, `invalid` where it is unknown. */
  identify(header: string | undefined): Token | 'missing' | 'invalid' {
    if (!header?.startsWith('Bearer ')) return 'missing'
    const given = digest(header.slice('Bearer '.length))
    let found: Token | undefined
    for (const {token, hash} of this.#tokens) if (timingSafeEqual(given, hash)) found = token
    return found ?? 'invalid'
  }
}

const workerRoutes =
  /^\/v1\/worker\/|^\/v1\/opencode\/workers\/(register$|[^/]+\/(heartbeat|unregister)$)|\/status$|\/output$/
const clientRoutes = /^\/v1\/opencode\/codebases\/[^/]+\/(tasks|trigger)$|\/cancel$/

/** May a token of this scope call this route at all? Reading is open to all scopes. */
export function mayCall(scope: Scope, method: string, path: string): boolean {
  if (scope === 'admin') return true
  if (path.startsWith('/v1/worker/tasks/')) return scope === 'worker'
  if (method === 'GET' || method === 'HEAD') return true
  return scope === 'worker' ? !clientRoutes.test(path) : !workerRoutes.test(path)
}
