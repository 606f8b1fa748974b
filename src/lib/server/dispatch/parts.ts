import type {Clock} from '../../core/clock.ts'
import type {CommitGroup} from '../../core/commit-group.ts'
import type {Announcer} from '../streams/announcer.ts'
import type {Dispatch} from './dispatch.ts'
import type {Hub} from '../streams/hub.ts'
import type {Leases} from './leases.ts'
import type {MonitorLog} from '../streams/monitor-log.ts'
import type {Roster} from './roster.ts'
import type {Store} from '../store/store.ts'

/** How long things take, in milliseconds; tests shorten them. */
export type Timings = {
  keepAliveMs: number
  leaseMs: number
  offerMs: number
  silentWorkerMs: number
  lostTimeoutMs: number
}

/** What the control plane is made of; whoever needs a part takes it from here. */
export type Parts = {
  store: Store
  commits: CommitGroup
  clock: Clock
  timings: Timings
  hub: Hub
  leases: Leases
  roster: Roster
  dispatch: Dispatch
  monitor: MonitorLog
  announcer: Announcer
  log: (line: string) => void
  /** Of the program; undefined where it does not say. */
  version: string | undefined
  asksForTokens: boolean
  /** The broker that workers are told of; undefined when there is none for them. */
  brokerUrl: string | undefined
}
