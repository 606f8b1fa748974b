import {once} from 'node:events'
import type {Server} from 'node:http'
import {createServer as createSecureServer} from 'node:https'
import type {Server as SecureServer} from 'node:tls'
import type {AddressInfo} from 'node:net'
import {createAdaptorServer} from '@hono/node-server'
import type {Clock} from '../core/clock.ts'
import {systemClock} from '../core/clock.ts'
import {counted} from '../core/text/counted.ts'
import {ExpectedError} from '../core/errors.ts'
import {explainDatabase} from '../core/sqlite.ts'
import {limits} from '../protocol/limits.ts'
import {createApp} from './app.ts'
import {assemble, type Assembled, type Timings} from './assemble.ts'
import {readCredentials, type CredentialSources} from './credentials.ts'
import {reachableAddresses} from './http/addresses.ts'
import type {AuthMode, HashedToken, Token} from './http/auth.ts'
import {createAuthGuard, hashToken, tokenWarnings} from './http/auth.ts'
import {createCrossSiteGuard} from './http/cross-site.ts'
import {checkExposure, listen} from './http/listen.ts'
import {sourceOf} from './limits/clients.ts'
import {Connections, connectionLimits} from './limits/connections.ts'
import {createGate} from './limits/gate.ts'
import {openFileLimit} from './limits/open-files.ts'
import type {RedisStoreOptions} from './redis/redis-store.ts'
import type {MirrorTimings} from './mirror/mirror.ts'
import {openSingleStore} from './single-store.ts'
import {auditTokens} from './refusal-audit.ts'
import type {Retention} from './retention.ts'
import type {Log} from './streams/activity-lines.ts'
import {noAnnouncer, redisAnnouncer} from './streams/announcer.ts'
import {browserIdentity} from './page/data/browser-cookie.ts'
import type {ParallelTasks} from './tasks/parallel-tasks.ts'

/** Without `tls` the control plane serves plain HTTP. */
export type ControlPlaneOptions = Omit<CredentialSources, 'tokens'> & {
  /** Tokens in addition to those of the file. Only their hashes are kept. */
  tokens?: readonly Token[]
  host: string
  /** 0 means any free port. */
  port: number
  /** A file, or `:memory:`. Not used if the state is shared. */
  database: string
  /** The Redis that holds the state of several control planes. `folder`: for the copy that each has. */
  shared?: Omit<RedisStoreOptions, 'version' | 'log'>
  /** Default: required if there are tokens, otherwise off. */
  auth?: AuthMode
  clock?: Clock
  log?: Log
  /** Where workers and clients reach the control plane, for example through a proxy. */
  publicUrl?: string
  /** Version of the program, for clients. */
  version?: string
  timings?: Partial<Timings>
  /** Default: 30 days, 2 GiB. */
  retention?: Partial<Retention>
  /** Limit on the stored output of one task, in bytes. Default: 256 MiB. */
  maxTaskOutput?: number
  /** Requests per second of a token, or of an address without one. 0: no limit. Default: 2000. */
  maxRequests?: number
  /** Open streams of a token, or of an address without one. Default: 1000. */
  maxStreams?: number
  /** Tasks that may wait at once. Default: 100,000. */
  maxPending?: number
  /** Bytes of request bodies that may be in memory at once. Default: 256 MiB. */
  maxBodies?: number
  /** Tasks at once per working tree, of workers without leases. Default: 1. */
  parallelTasks?: ParallelTasks
  /** URL of the Redis on which tasks are announced. */
  brokerUrl?: string
  /** The same Redis as workers reach it. Registration announces it to them. */
  brokerPublicUrl?: string
  /** The Redis in which the keys of the existing server are written, and the prefix of the record of them. */
  mirror?: {url: string; prefix: string; timings?: Partial<MirrorTimings>}
  /** The token of the control plane of a machine: see `localProof`. */
  localToken?: string
  /** Lock the database file while this process lives. Default: yes. */
  exclusive?: boolean
}

export type ControlPlane = AsyncDisposable & {
  readonly url: string
  readonly host: string
  readonly port: number
  /** Where workers and clients can reach it, best first. */
  readonly addresses: readonly string[]
  /** Who may use it. */
  readonly tokens: readonly Omit<Token, 'token'>[]
  /**
   * Reads the certificate and the tokens file again. Open connections and streams go on with the old ones. Throws
   * ExpectedError (78) if a file is bad, and changes nothing then.
   */
  reload(): void
  /**
   * Copies the database to a file beside it while requests are answered, and resolves to the name of that file. Rejects
   * with ExpectedError if it cannot, or if the state is in Redis.
   */
  backUp(): Promise<string>
  /** Ends all streams, commits open changes, closes the database. */
  close(): Promise<void>
}

/** Starts a control plane and resolves when it listens. */
export async function startControlPlane({tokens: given = [], ...options}: ControlPlaneOptions): Promise<ControlPlane> {
  const sources = {...options, tokens: given.map(hashToken)}
  const {tokens, tls} = readCredentials(sources)
  const {host, port, auth = tokens.length > 0 ? 'required' : 'off'} = options
  checkExposure(host, tokens, auth)
  const store = await openStore(options)
  let parts: Assembled | undefined
  let mirror: {close(): Promise<void>} | undefined
  const closeStore = async () => {
    await mirror?.close()
    parts?.disk.close()
    await store.close()
  }
  try {
    const hasTokens = tokens.length > 0
    parts = await assemble({...options, auth: hasTokens ? auth : 'off', store}, await announcerOf(options))
    store.complete?.(parts)
    mirror = await startMirror(options, parts)
    const {plane, refusals, log, clock} = parts
    let guard = createAuthGuard(tokens, auth)
    const warnOf = (all: readonly HashedToken[]) => tokenWarnings(all).forEach((text) => log(text, 'warn'))
    const connections = new Connections(connectionLimits(openFileLimit()), (address) =>
      refusals.count('connections', sourceOf(address)),
    )
    const gate = createGate({
      authenticate: Object.assign((authorization: string | undefined, path: string) => guard(authorization, path), {
        byToken: (token: string) => guard.byToken(token),
      }),
      identifyBrowser: (c) => browserIdentity(c, plane.state, (hash) => guard.byHash(hash)),
      checkSite: createCrossSiteGuard(host, {anyName: options.auth === 'off'}),
      connections,
      maxRequests: options.maxRequests ?? limits.requests,
      clock,
    })
    let publicUrl = options.publicUrl ?? ''
    const life = {isStopping: false}
    const isStopping = () => life.isStopping
    const app = createApp({
      ...parts.app,
      gate,
      isStopping,
      publicUrl: () => publicUrl,
      tokenByHash: (hash) => guard.byHash(hash),
    })
    const server = createAdaptorServer({
      fetch: app.fetch,
      // lighter Request and Response classes, which take a third less time per request; nothing here uses global fetch
      overrideGlobalObjects: true,
      // a client that sends its headers slowly, or never, holds a connection
      serverOptions: {headersTimeout: limits.headers, connectionsCheckingInterval: limits.headers / 4, ...tls},
      ...(tls ? {createServer: createSecureServer} : {}),
    }) as Server
    connections.watch(server)
    server.keepAliveTimeout = 75_000 // longer than clients keep idle connections, so that clients close them
    await listen(server, host, port)
    const reload = () => {
      const fresh = readCredentials(sources)
      if (fresh.tls) (server as unknown as SecureServer).setSecureContext(fresh.tls)
      guard = createAuthGuard(fresh.tokens, auth)
      warnOf(fresh.tokens)
      if (options.tokensFile !== undefined)
        plane.runLater(auditTokens, {detail: describeTokens(fresh.tokens)}, 'recording the new tokens')
    }
    const bound = (server.address() as AddressInfo).port
    const known = reachableAddresses({host, port: bound, certificate: tls?.cert})
    const addresses = [...new Set(options.publicUrl === undefined ? known : [options.publicUrl, ...known])]
    publicUrl ||= addresses[0] ?? ''
    const who = tokens.map(({hash: _h, isShort: _s, ...about}) => about)
    warnOf(tokens)
    return {
      ...running(server, {parts, closeStore, life, host, scheme: tls ? 'https' : 'http'}),
      reload,
      backUp: store.backUp ?? refuseBackup,
      addresses,
      tokens: who,
    }
  } catch (error) {
    await closeStore()
    throw error instanceof ExpectedError ? error : explainDatabase(options.database, error)
  }
}

const describeTokens = (tokens: readonly HashedToken[]) =>
  `${counted(tokens.length, 'token')}: ${tokens.map(({name, scope}) => `${name || '(no name)'}/${scope}`).join(', ')}`

const refuseBackup = async () => {
  throw new ExpectedError('The state is in Redis. Back up the data of Redis.', {code: 'STATE_IN_REDIS', exit: 'usage'})
}

/** Opens the database, or the state in Redis. */
async function openStore({
  database,
  exclusive = true,
  clock,
  shared,
  version = '',
  log = () => {},
}: ControlPlaneOptions) {
  if (shared === undefined) return await openSingleStore(database, {exclusive, clock})
  const {openSharedStore} = await import('./shared-store.ts')
  return await openSharedStore({...shared, version, log})
}

async function startMirror({mirror, log = () => {}}: ControlPlaneOptions, {plane}: Assembled) {
  if (mirror === undefined) return undefined
  const [{Mirror}, {mirrorRecord, openMirror}] = await Promise.all([
    import('./mirror/mirror.ts'),
    import('./mirror/open-mirror.ts'),
  ])
  const {url, prefix, timings} = mirror
  const redis = await openMirror(url, log)
  return new Mirror({redis, record: mirrorRecord(prefix), plane, log, timings})
}

const announcerOf = async ({brokerUrl, clock = systemClock, log = () => {}}: ControlPlaneOptions) =>
  brokerUrl === undefined ? noAnnouncer : redisAnnouncer(brokerUrl, clock, log)

/** How long readers of streams get to take what was sent, in ms. */
const leaveMs = 500

type Running = {
  parts: Assembled
  life: {isStopping: boolean}
  closeStore: () => Promise<void>
  host: string
  scheme: string
}

function running(
  server: Server,
  {parts, life, closeStore, host, scheme}: Running,
): Omit<ControlPlane, 'reload' | 'backUp' | 'addresses' | 'tokens'> {
  const {plane, hub} = parts
  const stop = parts.start()
  let closing: Promise<void> | undefined
  const shutDown = async () => {
    life.isStopping = true
    stop()
    const closed = once(server, 'close')
    server.close()
    await plane.durable().catch(() => {})
    parts.close()
    await hub.leaveAll(leaveMs)
    await new Promise(setImmediate) // lets responses to the last commits be sent
    server.closeAllConnections()
    await closed
    await plane.durable().catch(() => {})
    await closeStore()
  }
  const close = () => (closing ??= shutDown())
  const {port} = server.address() as AddressInfo
  const reachable = ['0.0.0.0', '::'].includes(host) ? 'localhost' : host.includes(':') ? `[${host}]` : host
  return {url: `${scheme}://${reachable}:${port}`, host, port, close, [Symbol.asyncDispose]: close}
}
