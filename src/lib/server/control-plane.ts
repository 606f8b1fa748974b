import {once} from 'node:events'
import type {Server} from 'node:http'
import {createServer as createSecureServer} from 'node:https'
import type {Server as SecureServer} from 'node:tls'
import type {AddressInfo} from 'node:net'
import {createAdaptorServer} from '@hono/node-server'
import type {Clock} from '../core/clock.ts'
import {systemClock} from '../core/clock.ts'
import {CommitGroup} from '../core/commit-group.ts'
import {counted} from '../core/text/counted.ts'
import {ExpectedError, messageOf} from '../core/errors.ts'
import {limits} from '../protocol/limits.ts'
import {noAnnouncer, redisAnnouncer, type Announcer} from './streams/announcer.ts'
import {createApp} from './app.ts'
import {logActivity, type Log} from './streams/activity-lines.ts'
import {reachableAddresses} from './http/addresses.ts'
import {readCredentials, type CredentialSources} from './credentials.ts'
import {Connections, connectionLimits} from './limits/connections.ts'
import {sourceOf} from './limits/clients.ts'
import {createGate} from './limits/gate.ts'
import {openFileLimit} from './limits/open-files.ts'
import {OpenStreams} from './limits/open-streams.ts'
import {Refusals} from './limits/refusals.ts'
import type {AuthMode, HashedToken, Token} from './http/auth.ts'
import {createAuthGuard, hashToken, tokenWarnings} from './http/auth.ts'
import {Dispatch} from './dispatch/dispatch.ts'
import {HttpError} from './http/http-error.ts'
import {Hub} from './streams/hub.ts'
import {Instances} from './streams/instances.ts'
import {createCrossSiteGuard} from './http/cross-site.ts'
import {expireLeases, restoreLeases} from './tasks/lease-expiry.ts'
import {Leases} from './dispatch/leases.ts'
import {checkExposure, listen} from './http/listen.ts'
import {DiskGuard} from './store/disk-guard.ts'
import {migrations} from './store/migrations.ts'
import {MonitorLog} from './streams/monitor-log.ts'
import type {Parts, Timings} from './dispatch/parts.ts'
import {expireRegistrationTasks} from './tasks/registration-tasks.ts'
import type {Retention} from './retention.ts'
import {defaultRetention, startRetention} from './retention.ts'
import {Audit} from './audit/audit.ts'
import type {ParallelTasks} from './dispatch/parallel-tasks.ts'
import {Roster} from './dispatch/roster.ts'
import type {Database} from '../core/sqlite.ts'
import {explainDatabase, walSync, migrate, openDatabase, shortenLog} from '../core/sqlite.ts'
import {sqliteStore} from './store/sqlite-store.ts'

/** Without `tls` the control plane serves plain HTTP. */
export type ControlPlaneOptions = Omit<CredentialSources, 'tokens'> & {
  /** Tokens in addition to those of the file. Only their hashes are kept. */
  tokens?: readonly Token[]
  host: string
  /** 0 means any free port. */
  port: number
  /** A file, or `:memory:`. */
  database: string
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
  /** Tasks at once per working tree, of workers without leases. Default: 1. */
  parallelTasks?: ParallelTasks
  /** URL of the Redis on which tasks are announced. */
  brokerUrl?: string
  /** The same Redis as workers reach it. Registration announces it to them. */
  brokerPublicUrl?: string
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
  /** Ends all streams, commits open changes, closes the database. */
  close(): Promise<void>
}

const defaults: Timings = {
  keepAliveMs: limits.keepAlive,
  leaseMs: limits.lease,
  offerMs: limits.offer,
  silentWorkerMs: limits.silentWorker,
  lostTimeoutMs: 24 * 60 * 60_000,
  unstoppableMs: limits.unstoppable,
  instanceCheckMs: limits.instanceCheck,
  fullDiskMs: 30_000,
  refusalLogMs: 60_000,
}

/** Starts a control plane and resolves when it listens. */
export async function startControlPlane({tokens: given = [], ...options}: ControlPlaneOptions): Promise<ControlPlane> {
  const sources = {...options, tokens: given.map(hashToken)}
  const {tokens, tls} = readCredentials(sources)
  const {host, port, auth = tokens.length > 0 ? 'required' : 'off'} = options
  checkExposure(host, tokens, auth)
  const exclusive = options.exclusive ?? true
  const database = await openDatabase(options.database, {exclusive})
  const disk = options.database === ':memory:' ? undefined : walSync(options.database)
  let parts: Parts | undefined
  const closeStore = () => {
    parts?.disk.close()
    disk?.close()
    database.close()
  }
  try {
    const asksForTokens = tokens.length > 0 && auth !== 'off'
    const needsTokens = asksForTokens && auth === 'required'
    parts = assemble(database, {...options, asksForTokens, needsTokens}, await announcerOf(options), disk?.sync)
    let guard = createAuthGuard(tokens, auth)
    const {log} = parts
    const warnOf = (all: readonly HashedToken[]) => tokenWarnings(all).forEach((text) => log(text, 'warn'))
    const {refusals} = parts
    const connections = new Connections(connectionLimits(openFileLimit()), (address) =>
      refusals.count('connections', sourceOf(address)),
    )
    const enter = createGate({
      authenticate: (authorization, path) => guard(authorization, path),
      checkSite: createCrossSiteGuard(host, {anyName: options.auth === 'off'}),
      connections,
      maxRequests: options.maxRequests ?? limits.requests,
      clock: parts.clock,
    })
    const server = createAdaptorServer({
      fetch: createApp(parts, enter).fetch,
      overrideGlobalObjects: false, // the control plane may run inside a worker, whose `fetch` must not change
      // a client that sends its headers slowly, or never, holds a connection
      serverOptions: {headersTimeout: limits.headers, connectionsCheckingInterval: limits.headers / 4, ...tls},
      ...(tls ? {createServer: createSecureServer} : {}),
    }) as Server
    connections.watch(server)
    server.keepAliveTimeout = 75_000 // longer than clients keep idle connections, so that clients close them
    await listen(server, host, port)
    const retention = {...defaultRetention, ...options.retention}
    const reload = () => {
      const fresh = readCredentials(sources)
      if (fresh.tls) (server as unknown as SecureServer).setSecureContext(fresh.tls)
      guard = createAuthGuard(fresh.tokens, auth)
      warnOf(fresh.tokens)
      if (options.tokensFile !== undefined) recordTokens(parts, fresh.tokens)
    }
    const bound = (server.address() as AddressInfo).port
    const known = reachableAddresses({host, port: bound, certificate: tls?.cert})
    const addresses = [...new Set(options.publicUrl === undefined ? known : [options.publicUrl, ...known])]
    parts.publicUrl ??= addresses[0]
    const who = tokens.map(({hash: _h, isShort: _s, ...about}) => about)
    warnOf(tokens)
    return {
      ...running(server, {parts, closeStore, retention, host, scheme: tls ? 'https' : 'http'}),
      reload,
      addresses,
      tokens: who,
    }
  } catch (error) {
    closeStore()
    throw error instanceof ExpectedError ? error : explainDatabase(options.database, error)
  }
}

function recordTokens(parts: Parts | undefined, tokens: readonly HashedToken[]): void {
  const names = tokens.map(({name, scope}) => `${name || '(no name)'}/${scope}`).join(', ')
  parts?.commits.write(() =>
    parts.audit.record('tokens.read', {detail: `${counted(tokens.length, 'token')}: ${names}`}),
  )
}

const announcerOf = async ({brokerUrl, clock = systemClock, log = () => {}}: ControlPlaneOptions) =>
  brokerUrl === undefined ? noAnnouncer : redisAnnouncer(brokerUrl, clock, log)

/** Creates the parts, and restores the leases of tasks that ran under an earlier process. */
function assemble(
  database: Database,
  options: ControlPlaneOptions & {asksForTokens: boolean; needsTokens: boolean},
  announcer: Announcer,
  sync: (() => Promise<void>) | undefined,
): Parts {
  migrate(database, options.database, migrations)
  const {clock = systemClock, log = () => {}, version, asksForTokens, needsTokens} = options
  const timings = {...defaults, ...options.timings}
  const store = sqliteStore(database)
  const hub = new Hub(clock)
  const instances = new Instances(hub, clock, timings.instanceCheckMs)
  const leases = new Leases(clock, timings.leaseMs)
  const roster = new Roster(store, hub, options.parallelTasks ?? new Map())
  const dispatch = new Dispatch({store, hub, leases, roster, clock, offerMs: timings.offerMs})
  const commits = new CommitGroup(database, {
    sync,
    // a refused request has changed nothing in memory
    onRollback: (error) => {
      if (error instanceof HttpError) return
      disk.check()
      rebuildMemory(parts)
    },
    onBug: (error) => log(`bug after a commit: ${error instanceof Error ? error.stack : String(error)}`, 'error'),
  })
  const nameOf = (id: string) => store.registry.codebase(id)?.name ?? roster.profile(id).name
  const monitor = new MonitorLog(clock, (activity) => logActivity(activity, log, nameOf))
  const disk = new DiskGuard({
    ...{database: options.database, reusableBytes: store.reusable, clock, log, patienceMs: timings.fullDiskMs},
    shortenLog: () => shortenLog(database),
  })
  const audit = new Audit({store: store.audit, commits, clock, log: (line) => log(line, 'error')})
  const parts: Parts = {
    openStreams: new OpenStreams(options.maxStreams ?? limits.streams),
    refusals: new Refusals((text) => log(text, 'warn'), timings.refusalLogMs),
    store,
    disk,
    maxTaskOutput: options.maxTaskOutput ?? limits.taskOutput,
    commits,
    clock,
    timings,
    hub,
    instances,
    leases,
    roster,
    dispatch,
    monitor,
    announcer,
    audit,
    log,
    version,
    asksForTokens,
    localToken: options.localToken,
    publicUrl: options.publicUrl,
    needsTokens,
    brokerUrl: options.brokerPublicUrl,
  }
  restoreLeases(parts)
  return parts
}

/** A write has failed, for example on a full disk: makes memory match the store again. */
function rebuildMemory(parts: Parts): void {
  const {store, leases, roster, dispatch, commits} = parts
  roster.invalidate()
  for (const {taskId, attempt} of leases.all()) {
    const task = store.tasks.get(taskId)
    if (task?.status !== 'running' || task.attempt !== attempt) leases.release(taskId)
  }

  restoreLeases(parts)
  dispatch.withdrawVoidOffers()
  commits.afterCommit(() => dispatch.fillWorkers())
}

type Running = {parts: Parts; closeStore: () => void; retention: Retention; host: string; scheme: string}

function running(
  server: Server,
  {parts, closeStore, retention, host, scheme}: Running,
): Omit<ControlPlane, 'reload' | 'addresses' | 'tokens'> {
  const {hub, commits, dispatch, timings} = parts
  const keepAlive = setInterval(() => hub.heartbeat(), timings.keepAliveMs)
  const tick = Math.max(5, Math.min(timings.leaseMs, timings.offerMs, timings.silentWorkerMs, 5000) / 20)
  const sweep = setInterval(() => {
    try {
      expireLeases(parts)
      expireRegistrationTasks(parts)
      commits.afterCommit(() => dispatch.expireOffers())
      parts.audit.flush()
    } catch (error) {
      parts.log(`sweep failed: ${messageOf(error)}`, 'error')
    }
  }, tick)

  const stopRetention = startRetention(parts, retention)

  let closing: Promise<void> | undefined
  const shutDown = async () => {
    clearInterval(keepAlive)
    clearInterval(sweep)
    stopRetention()
    const closed = once(server, 'close')
    server.close()
    parts.audit.flush({all: true})
    await commits.durable().catch(() => {})
    parts.monitor.close()
    parts.refusals.close()
    parts.announcer.close()
    hub.closeAll()
    await new Promise(setImmediate) // lets responses to the last commits be sent
    server.closeAllConnections()
    await closed
    await commits.durable().catch(() => {})
    closeStore()
  }
  const close = () => (closing ??= shutDown())
  const {port} = server.address() as AddressInfo
  const reachable = ['0.0.0.0', '::'].includes(host) ? 'localhost' : host.includes(':') ? `[${host}]` : host
  return {url: `${scheme}://${reachable}:${port}`, host, port, close, [Symbol.asyncDispose]: close}
}
