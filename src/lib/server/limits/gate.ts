import type {Context} from 'hono'
import type {Clock} from '../../core/clock.ts'
import {routes} from '../../protocol/routes.ts'
import type {AppEnv, Client} from '../http/app-env.ts'
import {WrongTokenError, type AuthGuard, type Identity} from '../http/auth.ts'
import type {createCrossSiteGuard} from '../http/cross-site.ts'
import {tryLater} from '../http/http-error.ts'
import {addressOf} from '../http/peer.ts'
import {openPaths} from '../http/rights.ts'
import {clientOf} from './clients.ts'
import type {Connections} from './connections.ts'
import {TokenBuckets} from './token-buckets.ts'
import {WrongTokens} from './wrong-tokens.ts'

export type GateOptions = {
  authenticate: AuthGuard
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

/**
 * Returns the check that every request passes before anything of it is read: there is room for its connection, its token
 * is right, its client sends no flood, and no page of another site sent it. Throws HttpError.
 */
export function createGate({authenticate, checkSite, connections, maxRequests, clock}: GateOptions) {
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

  return (c: Context<AppEnv>): void => {
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
    let identity: Identity | undefined
    try {
      identity = authenticate(c.req.header('authorization'), c.req.path)
    } catch (error) {
      take(anonymous)
      const seconds = error instanceof WrongTokenError ? wrongTokens.record(anonymous.name) : 0
      if (seconds === 0) throw error
      throw tryLater(429, `Invalid token, as many before it from ${anonymous.name}`, seconds, 'wrong-token')
    }

    const client = identity ? clientOf(identity, addressOf(c)) : anonymous
    c.set('client', client)
    c.set('identity', identity)
    take(client)
    if (!identity && !openPaths.has(c.req.path)) checkSite((name) => c.req.header(name))
  }
}
