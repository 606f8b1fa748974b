import type {Clock} from '../../core/clock.ts'
import type {CommitGroup} from '../../core/commit-group.ts'
import type {Audit} from '../audit/audit.ts'
import type {Announcer} from '../streams/announcer.ts'
import type {Dispatch} from './dispatch.ts'
import type {OpenStreams} from '../limits/open-streams.ts'
import type {Refusals} from '../limits/refusals.ts'
import type {Log} from '../streams/activity-lines.ts'
import type {Hub} from '../streams/hub.ts'
import type {Instances} from '../streams/instances.ts'
import type {Leases} from './leases.ts'
import type {MonitorLog} from '../streams/monitor-log.ts'
import type {Roster} from './roster.ts'
import type {DiskGuard} from '../store/disk-guard.ts'
import type {Store} from '../store/store.ts'

/** Durations in milliseconds. Tests shorten them. */
export type Timings = {
  keepAliveMs: number
  leaseMs: number
  offerMs: number
  silentWorkerMs: number
  lostTimeoutMs: number
  unstoppableMs: number
  /** How long the process of an open stream has to answer another one with the same worker id. */
  instanceCheckMs: number
  /** How long the disk must be full before old output is dropped. */
  fullDiskMs: number
  /** How often counted refusals are logged. */
  refusalLogMs: number
}

/** The components of the control plane, as handlers get them. */
export type Parts = {
  store: Store
  disk: DiskGuard
  /** Limit on the stored output of one task, in bytes. Of more, the oldest is dropped. */
  maxTaskOutput: number
  commits: CommitGroup
  clock: Clock
  timings: Timings
  hub: Hub
  openStreams: OpenStreams
  refusals: Refusals
  instances: Instances
  leases: Leases
  roster: Roster
  dispatch: Dispatch
  monitor: MonitorLog
  announcer: Announcer
  audit: Audit
  log: Log
  /** Version of the program, if known. */
  version: string | undefined
  asksForTokens: boolean
  /** Where workers and clients reach the control plane: as configured, or where it listens, once it does. */
  publicUrl: string | undefined
  /** Set in the control plane of a machine, which proves to clients that it knows this token. */
  localToken: string | undefined
  /** Every request needs a token. The existing worker sends one with its stream only. */
  needsTokens: boolean
  /** The Redis URL that is announced to workers, if any. */
  brokerUrl: string | undefined
}
