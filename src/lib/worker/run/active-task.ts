import type {RunningAgent, StopReason} from '../../executor/executor.ts'
import type {AgentState} from '../../protocol/agent-state.ts'

/** A task that this worker has taken and not yet reported. */
export type ActiveTask = {
  id: string
  title: string
  attempt: number
  /** Path of the codebase; empty if the task needs none. */
  codebase: string
  phase: 'claiming' | 'starting' | 'running' | 'reporting'
  /** Since when its report waits, in monotonic ms. */
  reportingSince?: number
  /** When it was taken, Unix ms. */
  since: number
  /** It belongs to no codebase of this machine, so any worker may take it when the lease expires. */
  isPortable: boolean
  /** When the lease began, in monotonic ms. */
  heldSince: number
  sessionId: string | null
  /** The control plane has acknowledged something about this attempt. That confirms its assignment. */
  isAcknowledged?: boolean
  agent?: RunningAgent
  /** Why the task must stop. The first reason wins. */
  stop?: StopReason
  /** Why the agent waits for its provider now, for people. */
  waiting?: string | undefined
  /** What its agent does now. */
  state?: AgentState
  /** Settles when the session was reported, or could not be. */
  sessionReported?: Promise<void>
  /** Settles when the task is no longer active. */
  done: Promise<void>
}

/** What can be done with active tasks from outside the runner. */
export type ActiveTasks = {
  readonly active: readonly ActiveTask[]
  /** Stops a task early. Returns false if the task is not active, or is being reported. */
  stop(taskId: string, reason: StopReason): boolean
}
