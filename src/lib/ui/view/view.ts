import type {LogLevel} from '../../events/log-line.ts'
import type {Connection, Phase, TroubleKind} from '../../events/worker-event.ts'
import type {AgentState} from '../../protocol/agent-state.ts'
import type {FinalStatus} from '../../protocol/statuses.ts'
import type {OpenQuestion} from '../../protocol/task-input.ts'
import {emptyTail, type Tail} from './tail.ts'

export type TaskPhase = 'claiming' | 'starting' | 'running' | 'stopping' | 'reporting'

/** An active task. */
export type TaskView = {
  readonly id: string
  readonly title: string
  readonly path: string
  readonly attempt: number
  readonly agent: string | null
  readonly pid: number | null
  readonly sessionId: string | null
  readonly phase: TaskPhase
  readonly since: number
  /** Why its agent waits for the provider. Null if it does not. */
  readonly waiting: string | null
  /** What its agent does now. Null if unknown. */
  readonly agentState: AgentState | null
  /** What its agent asks now. */
  readonly questions: readonly OpenQuestion[]
  readonly lines: Tail<string>
}

/** A task that waits on the server. `at`: time of the last news about it. */
export type WaitingTask = {
  readonly id: string
  readonly title: string
  /** Path of its codebase. Empty if unknown. */
  readonly path: string
  readonly reason: string
  readonly since: number
  readonly at: number
}

export type EndedTask = {
  readonly id: string
  readonly title: string
  readonly path: string
  readonly attempt: number
  readonly status: FinalStatus
  readonly ms: number
  readonly cost: number
  readonly error: string | null
  /** Why the server refused its report for good. Null otherwise. */
  readonly refusal: string | null
  readonly at: number
  readonly lines: Tail<string>
}

export type AnyTask = TaskView | WaitingTask | EndedTask

export type CodebaseView = {
  /** Id on the server. Null if the codebase is not served. */
  readonly id: string | null
  readonly name: string
  readonly path: string
  /** Why it is not served. Null if it is. */
  readonly problem: string | null
}

export type LogEntry = {
  readonly at: number
  readonly level: LogLevel
  readonly text: string
  readonly taskId: string | null
}

export type Trouble = {
  readonly kind: TroubleKind
  /** The provider, or empty. */
  readonly name: string
  readonly reason: string
  readonly since: number
}

export type Totals = {readonly [status in FinalStatus]: number} & {readonly cost: number}

/** The state of a worker for display, derived from its events. `viewLimits` bounds every part. */
export type View = {
  readonly name: string
  readonly workerId: string
  readonly server: string
  readonly phase: Phase
  /** What the start waits for. Null if the worker does not start, or if that is unknown. */
  readonly startup: {readonly step: string; readonly since: number} | null
  readonly isPaused: boolean
  /** The worker takes no tasks, because too little disk space is free. */
  readonly isDiskLow: boolean
  /** Why the worker takes no tasks, or none of a provider (`name`). */
  readonly troubles: readonly Trouble[]
  /** The hint of the last stop step. */
  readonly farewell: string | null
  readonly link: {readonly value: Connection; readonly since: number; readonly reason: string}
  readonly slots: number
  readonly tasks: readonly TaskView[]
  readonly waiting: readonly WaitingTask[]
  /** Number of waiting tasks that are not listed. */
  readonly waitingMore: number
  /** Newest first. */
  readonly ended: readonly EndedTask[]
  readonly totals: Totals
  readonly codebases: readonly CodebaseView[]
  readonly log: Tail<LogEntry>
  readonly logLevel: LogLevel
}

export const viewLimits = {
  tasks: 300,
  waiting: 100,
  troubles: 20,
  ended: 100,
  /** Ended tasks that keep their output. */
  endedWithLines: 10,
  codebases: 1000,
  log: 500,
  linesOfTask: 200,
  /** Characters of any text. */
  chars: 500,
} as const

/** Limits a text to `viewLimits.chars` characters. */
export const truncate = (text: string) =>
  text.length > viewLimits.chars ? `${text.slice(0, viewLimits.chars - 1)}…` : text

export type InitialView = Pick<View, 'name' | 'server' | 'slots' | 'logLevel'> & {now: number}

/** The view of a worker before its first event. */
export const emptyView = ({now, ...about}: InitialView): View => ({
  ...about,
  workerId: '',
  phase: 'idle',
  startup: null,
  isPaused: false,
  isDiskLow: false,
  troubles: [],
  farewell: null,
  link: {value: 'down', since: now, reason: 'not connected yet'},
  tasks: [],
  waiting: [],
  waitingMore: 0,
  ended: [],
  totals: {completed: 0, failed: 0, cancelled: 0, cost: 0},
  codebases: [],
  log: emptyTail,
})
