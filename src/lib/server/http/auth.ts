import {createHash, timingSafeEqual} from 'node:crypto'
import {configError} from '../../core/errors.ts'
import {routes} from '../../protocol/routes.ts'
import {HttpError} from './http-error.ts'
import {openPaths} from './page-rights.ts'
import {scopes, type Scope} from './rights.ts'

/** One entry of A2A_AUTH_TOKENS. `workerId`: the only worker that a worker's token may act for. */
export type Token = {name: string; scope: Scope; workerId?: string | undefined; token: string}

/** What the control plane keeps of a token: it recognizes the token, and cannot tell it. */
export type HashedToken = Omit<Token, 'token'> & {hash: string; /** It could be guessed. */ isShort?: boolean}

/** `stream-only` asks for a token only where the existing worker can send one, and for exports. */
export type AuthMode = 'required' | 'stream-only' | 'off'

/** Who sent a request. The store contains the hash of its token, too. */
export type Identity = Omit<HashedToken, 'isShort'> & {
  known: KnownTokens
}

/** What a binding must respect: the other tokens of this control plane. */
export type KnownTokens = {
  mode: AuthMode
  hashes: ReadonlySet<string>
  /** Ids of workers that have a token of their own in the configuration. */
  workerIds: ReadonlySet<string>
}

/** Shorter tokens are refused, because they are guessed in a moment. */
const minLength = 4
/** Shorter tokens are warned of. */
const goodLength = 16
const form =
  'A2A_AUTH_TOKENS takes name:token, name/client:token, name/metrics:token, name/worker=ID:token, separated by commas'
const better = '`openssl rand -hex 24` makes a good token'

/**
 * Parses `name:token,name/scope:token,name/worker=ID:token`. Entries without a colon are admin's tokens without a name,
 * as on the existing server, if none has a name: beside a named one, such an entry is the rest of a token with a comma.
 * Throws ExpectedError (78) for those, for an empty or very short token, or an unknown scope.
 */
export function parseTokens(text: string): Token[] {
  const pairs = text
    .split(',')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '')
  const bare = pairs.findIndex((pair) => !pair.includes(':'))
  if (bare >= 0 && pairs.some((pair) => pair.includes(':')))
    throw configError(
      `entry ${bare + 1} of the tokens has no name, but others have one (a token contains no comma)`,
      form,
    )
  return pairs.map(parseToken)
}

function parseToken(pair: string): Token {
  const colon = pair.indexOf(':')
  if (colon < 0) return {name: '', scope: 'admin', token: checkLength('', pair)}
  const [name = '', scope = 'admin'] = pair.slice(0, colon).split(/\/(.*)/s)
  const token = pair.slice(colon + 1)
  const [kind, workerId] = scope.split(/=(.*)/s)
  if (token === '') throw configError(`the token named ${JSON.stringify(name)} is empty`, form)
  if (!isScope(kind) || (workerId !== undefined && (kind !== 'worker' || workerId === '')))
    throw configError(`the token named ${JSON.stringify(name)} has an unknown scope: ${scope}`, form)
  return {name, scope: kind, workerId, token: checkLength(name, token)}
}

function checkLength(name: string, token: string): string {
  if (token.length >= minLength) return token
  throw configError(`the token ${nameText(name)} has fewer than ${minLength} characters`, better)
}

const nameText = (name: string) => (name === '' ? 'without a name' : JSON.stringify(name))

export const hashToken = ({token, ...who}: Token): HashedToken => ({
  ...who,
  hash: digest(token).toString('hex'),
  isShort: token.length < goodLength,
})

/** What the operator should know about these tokens. */
export function tokenWarnings(tokens: readonly HashedToken[]): string[] {
  const short = tokens.filter(({isShort}) => isShort).map(({name}) => nameText(name))
  return [
    ...(short.length > 0
      ? [`Tokens of fewer than ${goodLength} characters can be guessed: ${short.join(', ')}. ${better}.`]
      : []),
    ...(tokens.some(({name}) => name === '')
      ? ["A token without a name is an admin's, and the log cannot name who used it. Write name:token."]
      : []),
  ]
}

const isScope = (word: string | undefined): word is Scope => (scopes as readonly (string | undefined)[]).includes(word)
const digest = (token: string) => createHash('sha256').update(token).digest()

/** A token is needed, and this one is none of ours. */
export class WrongTokenError extends HttpError {
  constructor() {
    super(403, 'Invalid token', {kind: 'wrong-token'})
  }
}

export type AuthGuard = {
  /** Returns the identity of a request, or undefined if it has none and needs none. Throws 401 or 403. */
  (authorization: string | undefined, path: string): Identity | undefined
  /** Whose token this is. Undefined: nobody's. */
  byToken(token: string): Identity | undefined
  /** The same by the hash of the token. */
  byHash(hash: string): Identity | undefined
}

export function createAuthGuard(tokens: readonly HashedToken[], mode: AuthMode): AuthGuard {
  const entries = tokens.map(({isShort: _, ...who}) => ({digest: Buffer.from(who.hash, 'hex'), who}))
  const known: KnownTokens = {
    mode,
    hashes: new Set(entries.map(({who}) => who.hash)),
    workerIds: new Set(tokens.flatMap(({workerId}) => workerId ?? [])),
  }
  const guarded = ['/v1/worker/', '/v1/monitor/export/', '/v1/audit', routes.metrics]

  const identify = (token: string): Identity | undefined => {
    const given = digest(token)
    let found: Identity | undefined
    // compares all tokens, each in constant time
    for (const {digest, who} of entries) if (timingSafeEqual(digest, given)) found ??= {...who, known}
    return found
  }

  const guard = (authorization: string | undefined, path: string) => {
    const isGuarded = guarded.some((prefix) => path.startsWith(prefix))
    const isNeeded = mode === 'required' ? !openPaths.has(path) : mode === 'stream-only' && isGuarded
    const token = authorization?.startsWith('Bearer ') ? authorization.slice('Bearer '.length).trim() : undefined
    const identity = mode === 'off' || token === undefined ? undefined : identify(token)
    if (isNeeded && token === undefined) throw new HttpError(401, 'Missing Bearer token')
    if (isNeeded && !identity) throw new WrongTokenError()
    return identity
  }
  const byHash = (hash: string) => {
    const found = mode === 'off' ? undefined : entries.find(({who}) => who.hash === hash)
    return found && {...found.who, known}
  }
  return Object.assign(guard, {byToken: (token: string) => (mode === 'off' ? undefined : identify(token)), byHash})
}

/** What the store knows about the tokens of workers. */
export type Bindings = {
  /** The worker that the token is bound to. */
  binding(hash: string): string | undefined
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

/** Throws 403 if the identity may not act for this worker. Returns whether its token must be bound to the worker now. */
export function mayActAs(
  identity: Identity | undefined,
  workerId: string,
  bindings: Bindings,
  {registers = false, machineId = null}: Registering = {},
): boolean {
  if (!identity || identity.scope === 'admin') return false
  if (identity.scope !== 'worker')
    throw new HttpError(403, `The token ${named(identity)}is ${scopeText[identity.scope]}, not a worker's`)
  const bound = boundWorkerOf(identity, bindings)
  if (bound === undefined && registers) {
    mayBind(identity, workerId, bindings, machineId)
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

const scopeText = {client: "a client's", metrics: 'for metrics'} as const

/** How messages name a token, with a space after it. */
export const named = ({name}: Pick<Identity, 'name'>) => (name ? `"${name}" ` : '')
