import type {LogLevel} from '../../events/log-line.ts'
import type {Link, Phase} from '../../events/worker-event.ts'
import type {FinalStatus} from '../../protocol/statuses.ts'
import {emptyTail, type Tail} from './tail.ts'

export type TaskPhase = 'claiming' | 'starting' | 'running' | 'stopping' | 'reporting'

/** A task in hand. */
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
  readonly lines: Tail<string>
}

/** A task that waits on the server, as far as is known here. `at`: when that was last heard. */
export type WaitingTask = {
  readonly id: string
  readonly title: string
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
  /** Why the server will never take its report; null while it has, or may. */
  readonly refusal: string | null
  readonly at: number
  readonly lines: Tail<string>
}

export type AnyTask = TaskView | WaitingTask | EndedTask

export type CodebaseView = {
  /** The server's; null while it is not served. */
  readonly id: string | null
  readonly name: string
  readonly path: string
  /** Why it is not served. */
  readonly problem: string | null
}

export type LogEntry = {
  readonly at: number
  readonly level: LogLevel
  readonly text: string
  readonly taskId: string | null
}

export type Totals = {readonly [status in FinalStatus]: number} & {readonly cost: number}

/** A worker as it is drawn: all of it follows from its events. Bounded in everything, see `viewLimits`. */
export type View = {
  readonly name: string
  readonly workerId: string
  readonly server: string
  readonly phase: Phase
  readonly isPaused: boolean
  /** No task is taken as too little is free on the disk of the state. */
  readonly isDiskLow: boolean
  /** What was said at the last step of leaving. */
  readonly farewell: string | null
  readonly link: {readonly value: Link; readonly since: number; readonly reason: string}
  readonly slots: number
  readonly tasks: readonly TaskView[]
  readonly waiting: readonly WaitingTask[]
  /** Tasks that wait and are not listed. */
  readonly waitingMore: number
  /** The newest first. */
  readonly ended: readonly EndedTask[]
  readonly totals: Totals
  readonly codebases: readonly CodebaseView[]
  readonly log: Tail<LogEntry>
  readonly logLevel: LogLevel
}

export const viewLimits = {
  tasks: 300,
  waiting: 100,
  ended: 100,
  /** Ended tasks of which the output can still be looked at. */
  endedWithLines: 10,
  codebases: 1000,
  log: 500,
  linesOfTask: 200,
  /** Of any text. */
  chars: 500,
} as const

export const truncate = (text: string) =>
  text.length > viewLimits.chars ? `${text.slice(0, viewLimits.chars - 1)}…` : text

export type InitialView = Pick<View, 'name' | 'server' | 'slots' | 'logLevel'> & {now: number}

/** A worker of which nothing has been heard yet. */
export const emptyView = ({now, ...about}: InitialView): View => ({
  ...about,
  workerId: '',
  phase: 'idle',
  isPaused: false,
  isDiskLow: false,
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
