import {createHash, timingSafeEqual} from 'node:crypto'
import {configError} from '../../core/errors.ts'
import {routes} from '../../protocol/routes.ts'
import {HttpError} from './http-error.ts'

export const scopes = ['admin', 'client', 'worker'] as const
export type Scope = (typeof scopes)[number]

/** One entry of A2A_AUTH_TOKENS. `workerId`: the only worker that a worker's token may act for. */
export type Token = {name: string; scope: Scope; workerId?: string | undefined; token: string}

/** `stream-only` asks for a token only where the existing worker can send one, and for exports. */
export type AuthMode = 'required' | 'stream-only' | 'off'

/** Who sent a request. */
export type Identity = Omit<Token, 'token'> & {
  /** The store contains this hash. The token itself is only in memory. */
  hash: string
}

/**
 * Parses `name:token,name/scope:token,name/worker=ID:token`. An entry without a colon is an admin's token without a
 * name, as on the existing server. Throws ExpectedError (78) for an empty token or an unknown scope.
 */
export function parseTokens(text: string): Token[] {
  return text
    .split(',')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '')
    .map(parseToken)
}

function parseToken(pair: string): Token {
  const colon = pair.indexOf(':')
  if (colon < 0) return {name: '', scope: 'admin', token: pair}
  const [name = '', scope = 'admin'] = pair.slice(0, colon).split(/\/(.*)/s)
  const token = pair.slice(colon + 1)
  const [kind, workerId] = scope.split(/=(.*)/s)
  const form = 'A2A_AUTH_TOKENS takes name:token, name/client:token, name/worker=ID:token, separated by commas'
  if (token === '') throw configError(`the token named ${JSON.stringify(name)} is empty`, form)
  if (!isScope(kind) || (workerId !== undefined && (kind !== 'worker' || workerId === '')))
    throw configError(`the token named ${JSON.stringify(name)} has an unknown scope: ${scope}`, form)
  return {name, scope: kind, workerId, token}
}

const isScope = (word: string | undefined): word is Scope => (scopes as readonly (string | undefined)[]).includes(word)
const digest = (token: string) => createHash('sha256').update(token).digest()

/** Paths that never need a token: for health checks (`status` has only counts), for A2A clients, and for clients that do not show theirs to anyone. */
export const openPaths: ReadonlySet<string> = new Set([
  routes.root,
  routes.health,
  routes.livez,
  routes.readyz,
  routes.agentCard,
  routes.status,
  routes.localProof,
])

/** Returns the identity of a request, or undefined if it has none and needs none. Throws 401 or 403. */
export type AuthGuard = (authorization: string | undefined, path: string) => Identity | undefined

export function createAuthGuard(tokens: readonly Token[], mode: AuthMode): AuthGuard {
  const known = tokens.map(({token, ...who}) => ({digest: digest(token), who}))
  const guarded = ['/v1/worker/', '/v1/monitor/export/']

  const identify = (token: string): Identity | undefined => {
    const given = digest(token)
    let found: Identity | undefined
    // compares all tokens, each in constant time
    for (const {digest, who} of known)
      if (timingSafeEqual(digest, given)) found ??= {...who, hash: given.toString('hex')}
    return found
  }

  return (authorization, path) => {
    const isGuarded = guarded.some((prefix) => path.startsWith(prefix))
    const isNeeded = mode === 'required' ? !openPaths.has(path) : mode === 'stream-only' && isGuarded
    const token = authorization?.startsWith('Bearer ') ? authorization.slice('Bearer '.length).trim() : undefined
    const identity = mode === 'off' || token === undefined ? undefined : identify(token)
    if (isNeeded && token === undefined) throw new HttpError(401, 'Missing Bearer token')
    if (isNeeded && !identity) throw new HttpError(403, 'Invalid token')
    return identity
  }
}

/** Binds a worker token without a worker id to the first worker that registers with it. */
export type Bindings = {binding(hash: string): string | undefined; bind(hash: string, workerId: string): void}

/**
 * Throws 403 if the identity may not act for this worker. `registers`: an unbound token is bound to it; with `check` it
 * only could be.
 */
export function mayActAs(
  identity: Identity | undefined,
  workerId: string,
  bindings: Bindings,
  {registers = false}: {registers?: boolean | 'check'} = {},
): void {
  if (!identity || identity.scope === 'admin') return
  if (identity.scope === 'client') throw new HttpError(403, `The token ${named(identity)}is a client's, not a worker's`)
  const bound = identity.workerId ?? bindings.binding(identity.hash)
  if (bound === undefined && registers === 'check') return
  if (bound === undefined && registers) return bindings.bind(identity.hash, workerId)
  if (bound === undefined) throw new HttpError(403, `Register worker ${workerId} first: the token belongs to no worker`)
  if (bound !== workerId)
    throw new HttpError(403, `The token ${named(identity)}belongs to another worker, not to ${workerId}`)
}

/** Throws 403 for workers: an agent must not create more work. */
export function mayManageTasks(identity: Identity | undefined): void {
  if (identity?.scope === 'worker')
    throw new HttpError(403, `The token ${named(identity)}is a worker's: it may not create or cancel tasks`)
}

/** Throws 403 for workers: an agent must not read what others do. */
export function mayWatchAll(identity: Identity | undefined): void {
  if (identity?.scope === 'worker')
    throw new HttpError(403, `The token ${named(identity)}is a worker's: it may not read what all others do`)
}

/** The only worker whose data the identity may see. Undefined: all. */
export function onlyWorkerOf(identity: Identity | undefined, bindings: Bindings): string | undefined {
  if (identity?.scope !== 'worker') return undefined
  return identity.workerId ?? bindings.binding(identity.hash) ?? ''
}

const named = ({name}: Identity) => (name ? `"${name}" ` : '')
