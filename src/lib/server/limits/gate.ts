import type {Context} from 'hono'
import type {Clock} from '../../core/clock.ts'
import {routes} from '../../protocol/routes.ts'
import type {AppEnv, Client} from '../http/app-env.ts'
import {WrongTokenError, type AuthGuard, type Identity} from '../http/auth.ts'
import {checkOrigin, type createCrossSiteGuard} from '../http/cross-site.ts'
import {tryLater} from '../http/http-error.ts'
import {addressOf} from '../http/peer.ts'
import {isAsset, isPage, openPaths} from '../http/page-rights.ts'
import {clientOf} from './clients.ts'
import type {Connections} from './connections.ts'
import {TokenBuckets} from './token-buckets.ts'
import {WrongTokens} from './wrong-tokens.ts'

export type GateOptions = {
  authenticate: Pick<AuthGuard, 'byToken'> & ((...args: Parameters<AuthGuard>) => Identity | undefined)
  /** Whose browser has sent a request for the monitor page: see `server/page`. */
  identifyBrowser: (c: Context<AppEnv>) => Identity | undefined
  checkSite: ReturnType<typeof createCrossSiteGuard>
  connections: Pick<Connections, 'isSurplus'>
  /** Requests per second of a client. 0: no limit. */
  maxRequests: number
  clock: Clock
}

/** Answered whatever else happens: who watches the control plane must see that it lives. */
const healthPaths: ReadonlySet<string> = new Set([routes.health, routes.livez, routes.readyz])

/** A burst may be as large as the requests of this many seconds. */
const burstSeconds = 10
const surplusRetrySeconds = 5

/** What every request passes before anything of it is read. Both throw HttpError. */
export type Gate = {
  /** There is room for its connection, its token is right, its client sends no flood, and no page of another site sent it. */
  enter(c: Context<AppEnv>): void
  /** Whose token somebody has typed at the monitor page. A wrong one counts like one in a header. */
  identify(c: Context<AppEnv>, token: string): Identity
}

/** Creates the gate of all requests. */
export function createGate(options: GateOptions): Gate {
  const {authenticate, connections, maxRequests, clock} = options
  const buckets = new TokenBuckets({perSecond: maxRequests, burst: burstSeconds * maxRequests, clock})
  const wrongTokens = new WrongTokens(clock)

  const take = ({key, name, isFree}: Client) => {
    const waitMs = isFree || maxRequests === 0 ? 0 : buckets.take(key)
    if (waitMs === 0) return
    throw tryLater(
      429,
      `${name} sends more than ${maxRequests} requests per second (--max-requests)`,
      waitMs / 1000,
      'rate',
    )
  }

  const slowDown = (error: unknown, {name}: Client): never => {
    const seconds = error instanceof WrongTokenError ? wrongTokens.record(name) : 0
    if (seconds === 0) throw error
    throw tryLater(429, `Invalid token, as many before it from ${name}`, seconds, 'wrong-token')
  }

  const identityOf = (c: Context<AppEnv>, anonymous: Client): Identity | undefined => {
    try {
      const browser = isPage(c.req.path) ? options.identifyBrowser(c) : undefined
      return browser ?? authenticate(c.req.header('authorization'), c.req.path)
    } catch (error) {
      take(anonymous)
      return slowDown(error, anonymous)
    }
  }

  return {
    enter(c) {
      const anonymous = clientOf(undefined, addressOf(c))
      c.set('client', anonymous)
      const isSurplus = connections.isSurplus(c.env.incoming.socket)
      if (isSurplus) c.header('connection', 'close')
      if (healthPaths.has(c.req.path)) return
      if (isSurplus)
        throw tryLater(
          503,
          'The control plane has as many connections as it can have; try again',
          surplusRetrySeconds,
          'connections',
        )
      const identity = identityOf(c, anonymous)
      const client = identity ? clientOf(identity, addressOf(c)) : anonymous
      c.set('client', client)
      c.set('identity', identity)
      take(client)
      checkSender(c, options.checkSite)
    },
    identify(c, token) {
      const identity = authenticate.byToken(token)
      return identity ?? slowDown(new WrongTokenError(), c.get('client'))
    },
  }
}

/** Throws 403 for what a page of another site has sent. A browser shows its cookie by itself, so that is no excuse. */
function checkSender(c: Context<AppEnv>, checkSite: GateOptions['checkSite']): void {
  const header = (name: string) => c.req.header(name)
  if (!c.get('identity') && !openPaths.has(c.req.path)) checkSite(header)
  if (!isPage(c.req.path) || isAsset(c.req.path) || c.req.header('authorization') !== undefined) return
  checkOrigin(header, {isChange: c.req.method !== 'GET' && c.req.method !== 'HEAD'})
}
