import type {SettingKey} from '../config/settings.ts'
import type {SessionSync} from '../sessions/session-sync.ts'
import type {DiskMonitor} from './disk/disk-monitor.ts'
import type {RunRetention} from './disk/run-retention.ts'
import type {AgentHealth} from './health/agent-health.ts'
import type {ProviderHealth} from './health/provider-health.ts'
import type {Conversations} from './inputs/conversations.ts'
import type {Intake} from './intake/intake.ts'
import type {Lifecycle} from './lifecycle.ts'
import type {QueueWatch} from './queue-watch.ts'
import type {Codebases} from './registration/codebases.ts'
import type {Registration} from './registration/registration.ts'
import type {RunUploader} from './run/run-uploader.ts'
import type {TaskRunner} from './run/task-runner.ts'

/** What a reload of the configuration has changed. */
export type ReloadedSettings = {
  settings: readonly SettingKey[]
  /** The token has changed. */
  hasNewToken: boolean
}

/** The components of a worker that runs. */
export type WorkerComponents = {
  lifecycle: Lifecycle
  codebases: Codebases
  registration: Registration
  intake: Intake
  runner: TaskRunner
  uploader: Pick<RunUploader, 'acknowledgedBytes'>
  conversations: Conversations
  sessions: SessionSync | undefined
  queue: QueueWatch
  disk: DiskMonitor
  retention: RunRetention
  health: AgentHealth
  providers: ProviderHealth
}

/** A worker that runs, as the local socket shows it. */
export type RunningWorker = WorkerComponents & {
  name: string
  workerId: string
  /** Pauses or resumes the worker and reports that to the control plane at once. */
  setPaused: (isPaused: boolean) => void
  /** Applies changed settings. */
  applyReload: (reloaded: ReloadedSettings) => Promise<void>
}
