import {createHash, timingSafeEqual} from 'node:crypto'
import {once} from 'node:events'
import {createServer, type IncomingMessage, type Server} from 'node:http'
import type {AddressInfo} from 'node:net'
import {isoTime, type Clock} from '../../core/clock.ts'
import {configError, errorCode, ExpectedError, messageOf} from '../../core/errors.ts'
import {addressText, type ListenAddress} from '../../core/listen-address.ts'
import {isLoopback} from '../../core/loopback.ts'
import {routes} from '../../protocol/routes.ts'

export type HealthServerOptions = {
  /** The token that metrics are shown for. Undefined: nobody needs one. */
  token: string | undefined
  clock: Pick<Clock, 'now'>
  /** Fields of all health checks: who answers. */
  about: Readonly<Record<string, string>>
  /** Why the worker does not live or is not ready, for people. */
  notAlive: () => string | undefined
  notReady: () => string | undefined
  metrics: () => Promise<{text: string; contentType: string}>
}

export type HealthServer = AsyncDisposable & {address: ListenAddress}

type Answer = {status: number; body: string; headers?: Record<string, string>}

const limits = {headersTimeout: 5000, requestTimeout: 10_000, keepAliveTimeout: 75_000}
const maxConnections = 100

/** Serves health checks and metrics of a worker. Throws ExpectedError: the port is taken (75), or not usable (78). */
export async function serveHealth(at: ListenAddress, options: HealthServerOptions): Promise<HealthServer> {
  const server = createServer(limits, (request, response) => {
    void answer(request, at, options)
      .catch((error: unknown): Answer => json(500, {detail: `bug: ${messageOf(error)}`}))
      .then(({status, body, headers}) => {
        response.writeHead(status, {'cache-control': 'no-store', ...headers})
        response.end(request.method === 'HEAD' ? undefined : body)
      })
  })
  server.maxConnections = maxConnections
  await listen(server, at)
  const {port} = server.address() as AddressInfo
  return {
    address: {host: at.host, port},
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function answer(request: IncomingMessage, at: ListenAddress, options: HealthServerOptions): Promise<Answer> {
  const path = (request.url ?? '').replace(/[?#].*$/s, '')
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return {...json(405, {detail: 'Method Not Allowed'}), headers: {allow: 'GET, HEAD'}}
  if (isRebound(request, at)) return json(403, {detail: 'This worker is not to be reached by that name'})
  const {about, clock} = options
  const timestamp = isoTime(clock.now())
  const health = (status: string, reason: string | undefined) =>
    reason === undefined
      ? json(200, {status, ...about, timestamp})
      : json(503, {status: `not ${status}`, detail: reason, ...about, timestamp})
  if (path === routes.livez) return health('alive', options.notAlive())
  if (path === routes.readyz) return health('ready', options.notReady())
  if (path !== routes.metrics) return json(404, {detail: `Not Found: there is /livez, /readyz and /metrics`})
  const refused = refusal(request, options.token)
  if (refused) return refused
  const {text, contentType} = await options.metrics()
  return {status: 200, body: text, headers: {'content-type': contentType}}
}

/**
 * Whether a page of a browser on this machine asks, whose name was made to resolve to loopback (DNS rebinding). It would
 * read what is shown without a token.
 */
function isRebound({headers}: IncomingMessage, {host}: ListenAddress): boolean {
  const name = (headers.host ?? '').replace(/:\d+$/, '')
  return isLoopback(host) && name !== '' && !isLoopback(name)
}

function refusal({headers: {authorization}}: IncomingMessage, token: string | undefined): Answer | undefined {
  if (token === undefined) return undefined
  const headers = {'www-authenticate': 'Bearer'}
  if (!authorization?.startsWith('Bearer ')) return {...json(401, {detail: 'Missing Bearer token'}), headers}
  const given = authorization.slice('Bearer '.length).trim()
  return timingSafeEqual(digest(given), digest(token)) ? undefined : json(403, {detail: 'Invalid token'})
}

const digest = (text: string) => createHash('sha256').update(text).digest()

const json = (status: number, body: Record<string, unknown>): Answer & {headers: Record<string, string>} => ({
  status,
  body: JSON.stringify(body),
  headers: {'content-type': 'application/json'},
})

async function listen(server: Server, at: ListenAddress): Promise<void> {
  server.listen(at.port, at.host)
  try {
    await once(server, 'listening')
  } catch (error) {
    const address = addressText(at)
    if (errorCode(error) === 'EADDRINUSE')
      throw new ExpectedError(`Another program listens on ${address} already (health_addr).`, {
        code: 'PORT_IN_USE',
        exit: 'temporary',
        suggestions: [
          'Choose another port with --health-addr or health_addr. Each worker of a machine needs its own.',
          `See which program it is: ss -ltnp 'sport = :${at.port}'`,
        ],
        cause: error,
      })
    throw configError(
      `The worker cannot listen on ${address} (health_addr): ${messageOf(error)}.`,
      'Choose an address of this machine, and a port that you may use.',
    )
  }
}
