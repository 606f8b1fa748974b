import {createHash, timingSafeEqual} from 'node:crypto'
import {configError} from '../../core/errors.ts'
import {HttpError} from './http-error.ts'
import {openPaths} from './rights.ts'

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
  known: KnownTokens
}

/** What a binding must respect: the other tokens of this control plane. */
export type KnownTokens = {
  mode: AuthMode
  hashes: ReadonlySet<string>
  /** Ids of workers that have a token of their own in the configuration. */
  workerIds: ReadonlySet<string>
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

/** Returns the identity of a request, or undefined if it has none and needs none. Throws 401 or 403. */
export type AuthGuard = (authorization: string | undefined, path: string) => Identity | undefined

export function createAuthGuard(tokens: readonly Token[], mode: AuthMode): AuthGuard {
  const entries = tokens.map(({token, ...who}) => ({digest: digest(token), who}))
  const known: KnownTokens = {
    mode,
    hashes: new Set(entries.map(({digest}) => digest.toString('hex'))),
    workerIds: new Set(tokens.flatMap(({workerId}) => workerId ?? [])),
  }
  const guarded = ['/v1/worker/', '/v1/monitor/export/', '/v1/audit']

  const identify = (token: string): Identity | undefined => {
    const given = digest(token)
    let found: Identity | undefined
    // compares all tokens, each in constant time
    for (const {digest, who} of entries)
      if (timingSafeEqual(digest, given)) found ??= {...who, hash: given.toString('hex'), known}
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

/** What the store knows about the tokens of workers. */
export type Bindings = {
  /** The worker that the token is bound to. */
  binding(hash: string): string | undefined
  bind(hash: string, workerId: string): void
  /** The tokens that are bound to the worker. */
  tokensBoundTo(workerId: string): string[]
  worker(id: string): {token: string | null; machine_id: string | null; forgotten_at: string | null} | undefined
}

type Registering = {
  /** An unbound token is bound to the worker; with `check` it only could be. */
  registers?: boolean | 'check'
  /** Identifies the machine that asks, if the request says so. */
  machineId?: string | null
}

/** Throws 403 if the identity may not act for this worker. Returns whether its token was bound to the worker now. */
export function mayActAs(
  identity: Identity | undefined,
  workerId: string,
  bindings: Bindings,
  {registers = false, machineId = null}: Registering = {},
): boolean {
  if (!identity || identity.scope === 'admin') return false
  if (identity.scope === 'client') throw new HttpError(403, `The token ${named(identity)}is a client's, not a worker's`)
  const bound = boundWorkerOf(identity, bindings)
  if (bound === undefined && registers) {
    mayBind(identity, workerId, bindings, machineId)
    if (registers !== 'check') bindings.bind(identity.hash, workerId)
    return registers !== 'check'
  }

  if (bound === undefined) throw new HttpError(403, `Register worker ${workerId} first: the token belongs to no worker`)
  if (bound !== workerId)
    throw new HttpError(403, `The token ${named(identity)}belongs to another worker, not to ${workerId}`)
  return false
}

/**
 * Throws 403 if the worker belongs to somebody else: it has a token of its own, or it was registered without a worker's
 * token on another machine. The latter says nothing where registering needs no token.
 */
function mayBind(identity: Identity, workerId: string, bindings: Bindings, machineId: string | null): void {
  const {hash, known} = identity
  const others = bindings.tokensBoundTo(workerId).filter((other) => other !== hash && known.hashes.has(other))
  if (known.workerIds.has(workerId) || others.length > 0)
    throw new HttpError(
      403,
      `Worker ${workerId} belongs to another token. To replace that one by ${named(identity) || 'this one '}remove it, or let both name the worker: NAME/worker=${workerId}:TOKEN`,
    )
  const worker = bindings.worker(workerId)
  if (known.mode !== 'required' || !worker || worker.forgotten_at !== null || worker.token !== null) return
  if (worker.machine_id === null || worker.machine_id !== machineId)
    throw new HttpError(
      403,
      `Worker ${workerId} was registered without a worker's token, and not by this machine. If it is gone for good: a2a-worker workers forget ${workerId}`,
    )
}

/** The worker that a worker's token acts for. Undefined: none yet. Empty: none any more, its worker has another token. */
export function boundWorkerOf({workerId, hash, known}: Identity, bindings: Bindings): string | undefined {
  if (workerId !== undefined) return workerId
  const bound = bindings.binding(hash)
  return bound !== undefined && known.workerIds.has(bound) ? '' : bound
}

/** How messages name a token, with a space after it. */
export const named = ({name}: Pick<Identity, 'name'>) => (name ? `"${name}" ` : '')
