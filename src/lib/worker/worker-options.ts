import type {ControlPlaneClient} from '../client/control-plane.ts'
import type {Config} from '../config/settings.ts'
import type {Clock} from '../core/clock.ts'
import type {StopSignals} from '../core/signals.ts'
import type {EventBus} from '../events/bus.ts'
import type {Executor} from '../executor/executor.ts'
import type {Contained} from '../executor/processes/containment.ts'
import type {AgentUser} from '../opencode/program/agent-user.ts'
import type {ModelSource} from '../opencode/program/models.ts'
import type {CommandOptions} from '../opencode/storage/session-commands.ts'
import type {AgentProgram} from './health/agent-health.ts'

export type WorkerOptions = {
  /** Live settings may change while the worker runs. */
  config: Config
  name: string
  workerId: string
  version: string
  stateDir: string
  /** Directory of tasks that belong to no codebase. Undefined: such tasks are not taken. */
  globalPath: string | undefined
  client: ControlPlaneClient
  executor: Executor
  /** The user that agents run as, if it is another than the worker's. */
  user?: AgentUser | undefined
  /** What keeps the processes of runs together. */
  contained: Contained
  program: AgentProgram
  /** The names of the agents besides OpenCode that are installed. Default: none. */
  agents?: () => readonly string[]
  /** Undefined: no models are registered. */
  models: ModelSource | undefined
  /** Where the agent stores its sessions. Undefined: they are not synced. */
  storage?: AgentStorage | undefined
  /** Removed from output and sessions, in addition to what the setting `redact` names. */
  secrets: () => readonly string[]
  bus: EventBus
  clock: Clock
  signals: StopSignals
  /** Exit after one task. */
  once: boolean
  /** Exit after this long without a task, in ms. 0 means never. */
  exitAfterIdleMs: number
}

export type AgentStorage = {
  /** The worker's own environment. The agent's environment is derived from it. */
  env: NodeJS.ProcessEnv
  home: string
  commands?: CommandOptions
}
