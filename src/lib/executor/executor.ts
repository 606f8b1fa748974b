import type {FinalStatus, Usage} from '../protocol/schemas.ts'

/** What is to be run. All paths are absolute. */
export type RunRequest = {
  taskId: string
  attempt: number
  title: string
  prompt: string
  agent: string
  model?: string | undefined
  /** An OpenCode session to continue. */
  sessionId?: string | undefined
  /** The run goes on: what an earlier agent printed stays in the spool, and this one's comes behind it. */
  continues?: boolean
  /** The codebase: the agent's working directory. */
  cwd: string
  /** This run's own folder (0700, exists): `prompt`, `stdout.ndjson`, `stderr.log`, `tmp/`. */
  runDir: string
  /** Value of `A2A_RUN` in the agent's environment: it names instance and run, and every descendant inherits it. */
  marker: string
  deadlines: Deadlines
  /** Whether the disk of the run's folder was seen full since the run was asked for. */
  wasDiskFull?: () => boolean
}

/** All in ms; 0 means none. */
export type Deadlines = {
  /** From spawn to the first event. */
  startup: number
  /** Without any output while no tool runs. */
  idle: number
  /** Without any output while a tool runs. */
  tool: number
  /** From spawn to the end. */
  total: number
  /** Between SIGTERM and SIGKILL. */
  grace: number
}

/** Enough to tell a process from a later one with the same pid. */
export type ProcessIdentity = {
  pid: number
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */ startTime: string
}

/** What the run tells while it goes on. Callbacks must not throw and do not block. */
export type RunObserver = {
  /**
   * Right after the spawn, before anything else; again if the agent had to be started a second time. Not called by
   * executors that need no process.
   */
  spawned: (process: ProcessIdentity) => void
  /** The agent's process has ended; what is left of the run is looked after now. */
  exited: () => void
  /** As soon as it is known; again if the agent changes it. */
  session: (id: string) => void
  /** One line for people about what the agent does now: a tool call that ended, a text; and the text, if it is longer. */
  activity: (line: string, text?: string) => void
  warning: (text: string) => void
}

export type RunOutcome = {
  status: FinalStatus
  /** The agent's final text, bounded; null where there is none. */
  result: string | null
  /** Never empty unless completed. */
  error: string | null
  sessionId: string | null
  usage: Usage
}

/** What a run took that never came to anything. */
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
  /** `cancelled`: somebody asked for it. `failed`: the worker gives up on it. */
  status: 'cancelled' | 'failed'
  /** Becomes the task's error. */
  error: string
  /** Somebody else is to begin again: it is no end of the task. */
  requeues?: true
}

export type RunningAgent = {
  /** Settles when the run is over, its spool complete and no process of it alive. Rejects only for a bug. */
  readonly outcome: Promise<RunOutcome>
  /** Asks the run to end early; the outcome says when it has. A second call changes nothing. */
  stop(reason: StopReason): void
}

/** A run of which everything is in place but the agent. */
export type PreparedRun = {
  /** Rejects, with nothing left behind, when the agent cannot be started. */
  start(observer: RunObserver): Promise<RunningAgent>
  /** Takes back what was written: the run will not be started. */
  discard(): void
}

/** Runs a task, in two steps, so that the first can be done while the task is still being claimed. */
export interface Executor {
  /** Checks what can be checked beforehand. Rejects, with nothing left behind: unknown model, disk full, … */
  prepare(request: RunRequest): Promise<PreparedRun>
}

/** Names in a run's folder. `refused`: the report that the server will never take. */
export const runFiles = {
  prompt: 'prompt',
  stdout: 'stdout.ndjson',
  stderr: 'stderr.log',
  tmp: 'tmp',
  refused: 'refused.json',
} as const
