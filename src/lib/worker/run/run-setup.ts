import type {RunningAgent, RunObserver, RunOutcome} from '../../executor/executor.ts'
import type {Lock} from '../locks/lock-file.ts'
import type {ActiveTask} from './active-task.ts'

/** A run that is in the journal, started by this process or by an earlier one. */
export type Run = {
  task_id: string
  attempt: number
  returns?: number
  path: string
  model: string | null
  run_dir: string
  title: string
  agent: string
}

/** What a task occupies while it runs. `release` frees both its slot and its working tree. */
export type TaskResources = {treeLock: Lock | undefined; release: () => void}

/** `receivedAt`: when the offer or the assignment arrived, in monotonic ms. */
export type OfferedResources = TaskResources & {receivedAt: number}

/** How a supervised run begins and what it occupies. */
export type RunSetup = TaskResources & {
  /** Starts or adopts the agent. A rejection becomes the error of the task. */
  start: (observer: RunObserver) => Promise<RunningAgent>
  /** Bytes of the spool that were acknowledged. Undefined: the upload begins when the agent starts. */
  uploadFrom?: number
  /** Usage of an earlier agent of the same run. */
  usageBefore?: RunOutcome['usage']
}

/** Supervises a run until its report is acknowledged. */
export type SuperviseRun = (run: Run, active: ActiveTask, setup: RunSetup) => Promise<void>
