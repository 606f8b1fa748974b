import {once} from 'node:events'
import type {Server} from 'node:http'
import {createServer as createSecureServer} from 'node:https'
import type {AddressInfo} from 'node:net'
import {createAdaptorServer} from '@hono/node-server'
import type {Clock} from '../core/clock.ts'
import {systemClock} from '../core/clock.ts'
import {CommitGroup} from '../core/commit-group.ts'
import {ExpectedError, messageOf} from '../core/errors.ts'
import {limits} from '../protocol/limits.ts'
import {noAnnouncer, redisAnnouncer, type Announcer} from './streams/announcer.ts'
import {createApp} from './app.ts'
import type {AuthMode, Token} from './http/auth.ts'
import {createGate} from './http/auth.ts'
import {Dispatch} from './dispatch/dispatch.ts'
import {HttpError} from './http/http-error.ts'
import {Hub} from './streams/hub.ts'
import {createPageGate} from './http/cross-site.ts'
import {endLapsed, takeUpLeases} from './tasks/lease-expiry.ts'
import {Leases} from './dispatch/leases.ts'
import {checkExposure, listen} from './http/listen.ts'
import {migrations} from './store/migrations.ts'
import {MonitorLog} from './streams/monitor-log.ts'
import type {Parts, Timings} from './dispatch/parts.ts'
import {endRegistrations} from './tasks/registration-tasks.ts'
import type {Retention} from './retention.ts'
import {defaultRetention, keepTidy} from './retention.ts'
import {Roster} from './dispatch/roster.ts'
import type {Database} from '../core/sqlite.ts'
import {explainDatabase, logSync, migrate, openDatabase} from '../core/sqlite.ts'
import {sqliteStore} from './store/sqlite-store.ts'
import type {TlsFiles} from './http/tls.ts'
import {readTls} from './http/tls.ts'

export type ControlPlaneOptions = {
  host: string
  /** 0: any that is free. */
  port: number
  /** A file, or `:memory:`. */
  database: string
  /** Without it the plane speaks plain HTTP. */
  tls?: TlsFiles
  tokens?: Token[]
  /** Default: required when there are tokens, else off. */
  auth?: AuthMode
  clock?: Clock
  log?: (line: string) => void
  /** Of the program, for those who ask. */
  version?: string
  timings?: Partial<Timings>
  /** Default: 30 days, 2 GiB. */
  retention?: Partial<Retention>
  /** The Redis on which tasks are announced. */
  brokerUrl?: string
  /** The same, as workers reach it: they are told of it when they register. */
  brokerPublicUrl?: string
  /** Keep others out of the database file for as long as this process lives. Default: yes. */
  exclusive?: boolean
}

export type ControlPlane = AsyncDisposable & {
  readonly url: string
  readonly host: string
  readonly port: number
  /** Ends all streams, commits what is open, closes the database. */
  close(): Promise<void>
}

const defaults: Timings = {
  keepAliveMs: limits.keepAlive,
  leaseMs: limits.lease,
  offerMs: limits.offer,
  silentWorkerMs: limits.silentWorker,
  lostTimeoutMs: 24 * 60 * 60_000,
}

/** Starts a control plane and resolves when it listens. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const {host, port, tokens = [], auth = tokens.length > 0 ? 'required' : 'off'} = options
  checkExposure(host, tokens, auth)
  const tls = options.tls && readTls(options.tls)
  const exclusive = options.exclusive ?? true
  const database = await openDatabase(options.database, {exclusive})
  const disk = options.database === ':memory:' ? undefined : logSync(options.database)
  const closeStore = () => {
    disk?.close()
    database.close()
  }
  try {
    const parts = assemble(database, options, await announcerOf(options), disk?.sync)
    const server = createAdaptorServer({
      fetch: createApp(parts, createGate(tokens, auth), createPageGate(host, {anyName: options.auth === 'off'})).fetch,
      overrideGlobalObjects: false, // the plane may live in a worker's process, whose `fetch` is not ours to change
      ...(tls ? {createServer: createSecureServer, serverOptions: tls} : {}),
    }) as Server
    server.keepAliveTimeout = 75_000 // longer than clients keep an idle connection, so it is they who close it
    await listen(server, host, port)
    const retention = {...defaultRetention, ...options.retention}
    return running(server, {parts, closeStore, retention, host, scheme: tls ? 'https' : 'http'})
  } catch (error) {
    closeStore()
    throw error instanceof ExpectedError ? error : explainDatabase(options.database, error)
  }
}

const announcerOf = async ({brokerUrl, clock = systemClock, log = () => {}}: ControlPlaneOptions) =>
  brokerUrl === undefined ? noAnnouncer : redisAnnouncer(brokerUrl, clock, log)

/** Puts the parts together and takes up what an earlier process left running. */
function assemble(
  database: Database,
  options: ControlPlaneOptions,
  announcer: Announcer,
  sync: (() => Promise<void>) | undefined,
): Parts {
  migrate(database, options.database, migrations)
  const {clock = systemClock, log = () => {}, version, tokens = []} = options
  const asksForTokens = tokens.length > 0 && options.auth !== 'off'
  const timings = {...defaults, ...options.timings}
  const store = sqliteStore(database)
  const hub = new Hub(clock)
  const leases = new Leases(clock, timings.leaseMs)
  const roster = new Roster(store, hub)
  const dispatch = new Dispatch({store, hub, leases, roster, clock, offerMs: timings.offerMs})
  const commits = new CommitGroup(database, {
    sync,
    // a request that the rules refuse has changed nothing that memory knows of
    onRollback: (error) => error instanceof HttpError || rememberAnew(parts),
    onBug: (error) => log(`bug after a commit: ${error instanceof Error ? error.stack : String(error)}`),
  })
  const monitor = new MonitorLog(clock)
  const parts: Parts = {
    store,
    commits,
    clock,
    timings,
    hub,
    leases,
    roster,
    dispatch,
    monitor,
    announcer,
    log,
    version,
    asksForTokens,
    brokerUrl: options.brokerPublicUrl,
  }
  takeUpLeases(parts)
  return parts
}

/** A write failed (a full disk): what memory took for done was not. */
function rememberAnew(parts: Parts): void {
  const {store, leases, roster, dispatch, commits} = parts
  roster.forget()
  for (const {taskId, attempt} of leases.all()) {
    const task = store.tasks.get(taskId)
    if (task?.status !== 'running' || task.attempt !== attempt) leases.drop(taskId)
  }

  takeUpLeases(parts)
  dispatch.forgetVoid()
  commits.afterCommit(() => dispatch.fillAll())
}

type Running = {parts: Parts; closeStore: () => void; retention: Retention; host: string; scheme: string}

function running(server: Server, {parts, closeStore, retention, host, scheme}: Running): ControlPlane {
  const {hub, commits, dispatch, timings} = parts
  const keepAlive = setInterval(() => hub.heartbeat(), timings.keepAliveMs)
  const tick = Math.max(5, Math.min(timings.leaseMs, timings.offerMs, timings.silentWorkerMs, 5000) / 20)
  const sweep = setInterval(() => {
    try {
      endLapsed(parts)
      endRegistrations(parts)
      commits.afterCommit(() => dispatch.sweep())
    } catch (error) {
      parts.log(`sweep failed: ${messageOf(error)}`)
    }
  }, tick)

  const stopTidying = keepTidy(parts, retention)

  let closing: Promise<void> | undefined
  const shutDown = async () => {
    clearInterval(keepAlive)
    clearInterval(sweep)
    stopTidying()
    const closed = once(server, 'close')
    server.close()
    await commits.settled().catch(() => {})
    parts.monitor.close()
    parts.announcer.close()
    hub.closeAll()
    await new Promise(setImmediate) // answers to what was just committed go out
    server.closeAllConnections()
    await closed
    await commits.settled().catch(() => {})
    closeStore()
  }
  const close = () => (closing ??= shutDown())
  const {port} = server.address() as AddressInfo
  const reachable = ['0.0.0.0', '::'].includes(host) ? 'localhost' : host.includes(':') ? `[${host}]` : host
  return {url: `${scheme}://${reachable}:${port}`, host, port, close, [Symbol.asyncDispose]: close}
}
