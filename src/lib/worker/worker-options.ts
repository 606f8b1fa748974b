import type {ControlPlaneClient} from '../client/control-plane.ts'
import type {Config} from '../config/settings.ts'
import type {Clock} from '../core/clock.ts'
import type {StopSignals} from '../core/signals.ts'
import type {EventBus} from '../events/bus.ts'
import type {Executor} from '../executor/executor.ts'
import type {ModelSource} from '../opencode/program/models.ts'
import type {SessionSync} from '../sessions/session-sync.ts'
import type {Codebases} from './registration/codebases.ts'
import type {DiskWatch} from './disk/disk-watch.ts'
import type {Intake} from './intake/intake.ts'
import type {KeptRuns} from './disk/kept-runs.ts'
import type {Lifecycle} from './lifecycle.ts'
import type {QueueWatch} from './queue-watch.ts'
import type {Registration} from './registration/registration.ts'
import type {Reloaded} from './take-up.ts'
import type {TaskRunner} from './run/task-runner.ts'
import type {AgentStorage} from './worker-sessions.ts'

export type WorkerOptions = {
  /** Its live settings may change while the worker runs. */
  config: Config
  name: string
  workerId: string
  version: string
  stateDir: string
  /** Where tasks run that belong to no codebase; undefined: they are not taken. */
  globalPath: string | undefined
  client: ControlPlaneClient
  executor: Executor
  /** Undefined: no models are announced. */
  models: ModelSource | undefined
  /** Where the agent keeps its sessions; undefined: they are not synced. */
  storage?: AgentStorage | undefined
  /** Blanked out of output and sessions, beside what `redact` names. */
  secrets: () => readonly string[]
  bus: EventBus
  clock: Clock
  signals: StopSignals
  /** Leaves after one task. */
  once: boolean
  /** Leaves after so long without a task, ms; 0 never. */
  exitAfterIdleMs: number
}

/** A worker that runs, as the local socket shows it. */
export type RunningWorker = {
  codebases: Codebases
  name: string
  workerId: string
  lifecycle: Lifecycle
  intake: Intake
  registration: Registration
  runner: TaskRunner
  sessions: SessionSync | undefined
  queue: QueueWatch
  disk: DiskWatch
  kept: KeptRuns
  /** Takes no tasks for a while; the server hears of it at once. */
  setPaused: (isPaused: boolean) => void
  /** Does what follows from settings that have changed in the configuration. */
  takeUp: (reloaded: Reloaded) => Promise<void>
}
