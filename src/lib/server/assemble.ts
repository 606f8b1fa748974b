import type {Clock} from '../core/clock.ts'
import {shortenLog, type Database} from '../core/sqlite.ts'
import {limits} from '../protocol/limits.ts'
import type {AppOptions} from './app.ts'
import {OpenStreams} from './limits/open-streams.ts'
import {Refusals} from './limits/refusals.ts'
import {effectFailure, effects} from './plane/effects.ts'
import {makeRoom} from './plane/output-room.ts'
import {Plane} from './plane/plane.ts'
import {RefusalAudit} from './refusal-audit.ts'
import {announceTaskRetention, defaultRetention, startRetention, type Retention} from './retention.ts'
import {fillAll} from './rules/registry/connections.ts'
import {nameOf} from './rules/dispatch/roster.ts'
import type {Policy} from './state/state.ts'
import type {Backup} from './store/backup.ts'
import {DiskGuard} from './store/disk-guard.ts'
import {migrations} from './store/migrations.ts'
import type {Engine, History} from './store/engine.ts'
import {logActivity, type Log} from './streams/activity-lines.ts'
import type {Announcer} from './streams/announcer.ts'
import {Hub} from './streams/hub.ts'
import {Instances} from './registry/instances.ts'
import {PlaneMetrics} from './metrics/metrics.ts'
import {MonitorLog} from './streams/monitor-log.ts'

/** Durations in milliseconds. Tests shorten them. */
export type Timings = Pick<
  Policy,
  'leaseMs' | 'offerMs' | 'confirmMs' | 'silentWorkerMs' | 'lostTimeoutMs' | 'unstoppableMs'
> & {
  keepAliveMs: number
  /** How long the process of an open stream has to answer another one with the same worker id. */
  instanceCheckMs: number
  /** How long the disk must be full before old output is dropped. */
  fullDiskMs: number
  /** How often counted refusals are logged. */
  refusalLogMs: number
}

const defaults: Timings = {
  keepAliveMs: limits.keepAlive,
  leaseMs: limits.lease,
  offerMs: limits.offer,
  confirmMs: limits.confirm,
  silentWorkerMs: limits.silentWorker,
  lostTimeoutMs: 24 * 60 * 60_000,
  unstoppableMs: limits.unstoppable,
  instanceCheckMs: limits.instanceCheck,
  fullDiskMs: 30_000,
  refusalLogMs: 60_000,
}

/** Called by an engine. */
export type EngineHooks = {
  /** A commit has failed, and the state was restored from what is on disk. */
  onRestored: (error: unknown) => void
  onBug: (error: unknown) => void
  history: History
}

/** Where the state is. */
export type Store = {
  database: Database
  /** The path of the database. */
  file: string
  /** Which version of the database was found there: a number of migrations, 0 for none. */
  former: number
  /** The time of the wire, and the lease clock. */
  clock: Clock
  /** Names this control plane among those that share the state. */
  replica: string
  open: (policy: Policy, hooks: EngineHooks) => Engine | Promise<Engine>
  /** Copies the database, next to it. Undefined: it is in memory, or not the only place of the state. */
  backUp?: (() => Promise<Backup>) | undefined
}

export type AssemblyOptions = {
  store: Store
  /** `off` without tokens. */
  auth: 'required' | 'stream-only' | 'off'
  log?: Log
  version?: string
  timings?: Partial<Timings>
  retention?: Partial<Retention>
  maxTaskOutput?: number
  maxStreams?: number
  maxPending?: number
  maxBodies?: number
  parallelTasks?: ReadonlyMap<string, number>
  brokerPublicUrl?: string
  localToken?: string
}

export type Assembled = Awaited<ReturnType<typeof assemble>>

/** Creates the components of a control plane on its store. Rejects with what the store rejects with. */
export async function assemble(options: AssemblyOptions, announcer: Announcer) {
  const {store, log = () => {}} = options
  const {database, file, clock, former, replica} = store
  const timings = {...defaults, ...options.timings}
  const policy: Policy = {
    ...timings,
    maxPending: options.maxPending ?? limits.pendingTasks,
    parallelTasks: options.parallelTasks ?? new Map(),
  }
  const hub = new Hub(clock)
  const onRestored = () => {
    disk.check()
    plane.restored()
    void engine.durable().then(
      () => plane.runLater(fillAll, undefined, 'giving away what waits'),
      () => {}, // the next commit has failed too
    )
  }
  const onBug = (error: unknown) => log(effectFailure(error), 'error')
  const name = (id: string) => engine.state.get('codebase', id)?.name ?? nameOf(engine.state, id)
  const monitor = new MonitorLog(clock, (activity) => logActivity(activity, log, name))
  const engine: Engine = await store.open(policy, {onRestored, onBug, history: monitor})
  const disk = new DiskGuard({
    ...{database: file, clock, log, patienceMs: timings.fullDiskMs},
    reusableBytes: engine.views.reusable,
    shortenLog: () => shortenLog(database),
  })
  const room = {engine, disk, maxTaskOutput: options.maxTaskOutput ?? limits.taskOutput}
  const metrics = new PlaneMetrics(clock)
  // the control plane of a machine counts from its first scrape on
  if (options.localToken === undefined) await metrics.start()
  const plane = new Plane({
    ...{engine, clock},
    makeRoom: (changes, maintenance) => makeRoom(changes, maintenance, room),
    perform: effects({hub, monitor, announcer, log, policy, count: metrics.add}),
    logError: (line) => log(line, 'error'),
    onCommit: metrics.committed,
  })
  const refusals = new Refusals((text) => log(text, 'warn'), timings.refusalLogMs)
  const refusalAudit = new RefusalAudit({plane, clock, log: (line) => log(line, 'error')})
  const openStreams = new OpenStreams(options.maxStreams ?? limits.streams)
  const needsTokens = options.auth === 'required'
  const app: Omit<AppOptions, 'gate' | 'publicUrl' | 'isStopping' | 'tokenByHash'> = {
    ...{plane, hub, disk, monitor, metrics, refusals, refusalAudit, openStreams, log, replica, clock},
    maxBodies: options.maxBodies ?? limits.bodies,
    backUp: store.backUp,
    following: {hub, openStreams, keepAliveMs: timings.keepAliveMs, log},
    instances: new Instances(plane, clock, timings.instanceCheckMs),
    version: options.version,
    asksForTokens: options.auth !== 'off',
    needsTokens,
    // the control plane of a machine gives its own workers such a token, on purpose
    warnsOfAdmins: needsTokens && options.localToken === undefined,
    localToken: options.localToken,
    brokerUrl: options.brokerPublicUrl,
  }
  const retention = {engine, disk, clock, log, limits: {...defaultRetention, ...options.retention}}
  return {
    ...{plane, hub, disk, refusals, log, clock, app},
    /** Begins what happens by time. Returns the function that ends it. */
    start() {
      if (former > 0 && former < migrations.length) void announceTaskRetention(retention)
      plane.watchTime()
      const keepAlive = setInterval(() => hub.heartbeat(), timings.keepAliveMs)
      const stopRetention = startRetention(retention)
      return () => {
        clearInterval(keepAlive)
        stopRetention()
        plane.stop()
        refusalAudit.close()
        engine.maintain(({saveContacts}) => saveContacts(0)).catch(() => {}) // only when workers were seen
      }
    },
    close() {
      monitor.close()
      refusals.close()
      announcer.close()
    },
  }
}
