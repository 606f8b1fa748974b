import type {Config} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import {isDiskFull} from '../../core/disk-full.ts'
import type {Emit} from '../../events/bus.ts'
import {echoExecutor, noopExecutor} from '../../executor/builtin.ts'
import type {Executor, PreparedRun} from '../../executor/executor.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {Admission} from '../admission/admission.ts'
import type {DiskMonitor} from '../disk/disk-monitor.ts'
import type {RunFolders} from '../disk/run-folders.ts'
import {isRegistrationTask} from '../registration/registration-tasks.ts'
import type {ActiveTask} from './active-task.ts'
import {runMarker} from './marker.ts'
import {resumeProblem, type ResumeCheckOptions} from './resume-check.ts'
import {limitsOf, requestOf} from './run-request.ts'
import type {DailyCost} from '../health/daily-cost.ts'

/** Everything is ready for the agent, or the reason why it cannot start. */
export type Preparation = {marker: string; runDir: string} & ({ready: PreparedRun} | {problem: unknown})

/** Prepares a run: its folder, its checks, its files. Never rejects: a problem becomes the error of the task. */
export type PrepareRun = (task: Task, active: ActiveTask) => Promise<Preparation>

export type PrepareRunOptions = {
  config: Config
  admission: Pick<Admission, 'decide'>
  /** The first part of the markers of all runs of this worker. */
  markerOwner: string
  folders: RunFolders
  disk: Pick<DiskMonitor, 'makeRoom' | 'wasFullSince'>
  clock: Clock
  executorFor: (task: Task) => Executor
  emit: Emit
  resumeCheck: ResumeCheckOptions
  dailyCost: Pick<DailyCost, 'left'>
  /** Whether the control plane passes questions on to people. */
  canAsk: () => boolean
}

export const runPreparer =
  ({
    config,
    admission,
    markerOwner,
    folders,
    disk,
    clock,
    executorFor,
    resumeCheck,
    emit,
    dailyCost,
    canAsk,
  }: PrepareRunOptions): PrepareRun =>
  async (task, active) => {
    const startedAt = clock.monotonic()
    const marker = runMarker(markerOwner, task)
    let runDir = ''
    try {
      const refusal = await admission.decide(task, active.codebase)
      if (refusal !== undefined) return {marker, runDir, problem: new Error(refusal)}
      runDir = folders.create(task.id, task.attempt)
      const place = {cwd: active.codebase, runDir, marker, config}
      const request = {...requestOf(task, place), limits: limitsOf(task, config, dailyCost.left()), canAsk: canAsk()}
      const where = {taskId: task.id, directory: active.codebase}
      const problem = request.sessionId && (await resumeProblem(request.sessionId, where, resumeCheck))
      if (problem) return {marker, runDir, problem: new Error(problem)}
      active.sessionId = request.sessionId ?? null
      const onNotice = (text: string) => emit({type: 'notice', level: 'warn', taskId: task.id, text})
      const wasDiskFull = () => disk.wasFullSince(startedAt)
      const ready = await executorFor(task).prepare({...request, wasDiskFull, onNotice})
      return {marker: ready.marker ?? marker, runDir, ready}
    } catch (error) {
      if (isDiskFull(error)) disk.makeRoom() // for journal and report
      return {marker, runDir, problem: error}
    }
  }

/** Chooses the executor by the kind of the task. */
export const executorChoice =
  (agent: Executor, registration: (task: Task) => Executor) =>
  (task: Task): Executor => {
    if (isRegistrationTask(task)) return registration(task)
    if (task.agent_type === 'echo') return echoExecutor
    return task.agent_type === 'noop' ? noopExecutor : agent
  }
