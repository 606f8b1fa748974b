import type {ProviderTrouble} from '../opencode/output/provider-trouble.ts'
import type {AgentState} from '../protocol/agent-state.ts'
import type {FinalStatus, Usage} from '../protocol/schemas.ts'
import type {InputResult, OpenQuestion, TaskInput} from '../protocol/task-input.ts'
import type {ProcessIdentity} from './processes/processes.ts'

/** A request to run an agent. All paths are absolute. */
export type RunRequest = {
  taskId: string
  attempt: number
  title: string
  prompt: string
  agent: string
  /** The program that runs the task. Undefined: OpenCode. */
  program?: string | undefined
  model?: string | undefined
  /** A session of that program to continue. */
  sessionId?: string | undefined
  /** Continues a run: the output of the earlier agent stays in the spool, and new output is appended. */
  continues?: boolean
  /** The codebase: the agent's working directory. */
  cwd: string
  /** This run's own folder (0700, exists): `prompt`, `stdout.ndjson`, `stderr.log`, `tmp/`. */
  runDir: string
  /** Value of `A2A_RUN` in the agent's environment. It names worker and run, and all descendants inherit it. */
  marker: string
  deadlines: Deadlines
  /** What it may use. It is ended above that, and its work is kept. */
  limits?: RunLimits
  /** Whether a person can be asked. Otherwise the answer is no. */
  canAsk?: boolean
  /** The run is ended when its output is larger; 0 means no limit. */
  maxOutputBytes?: number
  /** Whether the disk of the run's folder was full since the run was requested. */
  wasDiskFull?: () => boolean
  /** Called with a problem that does not prevent the run, before it begins. */
  onNotice?: (text: string) => void
}

/** `cost` in US dollars, `tokens` of input and output, `turns` of the model. Undefined: no limit. */
export type RunLimits = {cost?: number | undefined; tokens?: number | undefined; turns?: number | undefined}

/** All in ms; 0 means none. */
export type Deadlines = {
  /** Until the first event, from the spawn or from when something last worked. */
  startup: number
  /** Without any output while no tool runs. */
  idle: number
  /** Without any output while a tool runs. */
  tool: number
  /** From spawn to the end. */
  total: number
  /** How long a provider may let the agent wait. */
  provider: number
  /** Between SIGTERM and SIGKILL. */
  grace: number
}

/** Callbacks of a run. They must not throw and not block. */
export type RunObserver = {
  /**
   * Called right after the spawn, before anything else, and again if the agent had to be restarted. Not called by
   * executors without a process.
   */
  onSpawned: (process: ProcessIdentity) => void
  /** The agent's process has ended. Its remaining processes are ended next. */
  onExited: () => void
  /** The session is known, or has changed. The same one may be told again. */
  onSession: (id: string) => void
  /** A line for people about what the agent did: a tool call or a text. `text` is the complete text if it is longer. */
  onActivity: (line: string, text?: string) => void
  onWarning: (text: string) => void
  /** The agent waits for its provider, or no longer. */
  onProviderWait: (wait: ProviderTrouble | undefined) => void
  /** Removes secrets from what the agent says. */
  redact: (text: string) => string
  /** The agent does something else now. Looked at about once a second, so short states are not seen. */
  onState: (state: AgentState) => void
  /** The complete list of what the agent asks now. Called for each change. */
  onQuestions: (questions: readonly OpenQuestion[]) => void
  /** What became of an input. Called again for each known input when an agent is adopted. */
  onInput: (result: InputResult) => void
}

export type RunOutcome = {
  status: FinalStatus
  /** The agent's final text, bounded. Null if there is none. */
  result: string | null
  /** Never empty unless completed. */
  error: string | null
  /** False if the agent printed no event. */
  hasBegun?: boolean
  sessionId: string | null
  usage: Usage
  /** The refusal of the model provider that made the run fail. */
  provider?: ProviderTrouble
}

/** The usage of a run that never began. */
export const noUsage: Usage = {
  input: 0,
  output: 0,
  reasoning: 0,
  cache_read: 0,
  cache_write: 0,
  cost: 0,
  model: null,
  duration_ms: null,
}

export type StopReason = {
  /** `cancelled`: requested by a person. `failed`: decided by the worker. */
  status: 'cancelled' | 'failed'
  /** Becomes the task's error. */
  error: string
  /** How long its processes have to end by themselves. Default: the setting `cancel_grace`. */
  graceMs?: number
  /** The task is requeued instead of ended. */
  requeues?: true
  /** With `requeues`: the attempt does not count. */
  isUncounted?: true
  /** The refusal of the model provider that is the reason. */
  provider?: ProviderTrouble
}

export type RunningAgent = {
  /** Settles when the run is over: its spool is complete and no process of it is alive. Rejects only for a bug. */
  readonly outcome: Promise<RunOutcome>
  /** Stops the run early. `outcome` settles when it has stopped. A second call has no effect. */
  stop(reason: StopReason): void
  /**
   * Passes on what a person says. `onInput` tells what became of it, once. An input that is known already has no effect.
   * Undefined: this agent takes no inputs.
   */
  give?(input: TaskInput): void
}

/** A run that is ready except for its agent. */
export type PreparedRun = {
  /** The marker of the agent's processes, if it is not the requested one: its process was started before the run. */
  marker?: string
  /** Starts the agent. Rejects, and leaves nothing behind, if it cannot be started. */
  start(observer: RunObserver): Promise<RunningAgent>
  /** Removes what `prepare` wrote. */
  discard(): void
}

/** Runs a task in two steps. The first can happen while the task is being claimed. */
export interface Executor {
  /** Checks the request and writes its files. Rejects, and leaves nothing behind: unknown model, disk full, … */
  prepare(request: RunRequest): Promise<PreparedRun>
}
