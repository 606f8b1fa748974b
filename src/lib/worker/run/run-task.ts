import type {Config} from '../../config/settings.ts'
import {isDiskFull, reasonOf} from '../../core/disk-full.ts'
import {echoExecutor, noopExecutor} from '../../executor/builtin.ts'
import type {Executor, PreparedRun, RunningAgent, RunObserver} from '../../executor/executor.ts'
import {bootId} from '../../executor/processes.ts'
import type {Task} from '../../protocol/schemas.ts'
import {claim, type TaskStreamState} from './claim.ts'
import type {Lock} from '../locks/lock-file.ts'
import {isRegistration} from '../registration/registrar.ts'
import type {Registration} from '../registration/registration.ts'
import {resumeProblem, type ResumeParts} from './resume-check.ts'
import {seeRun, type ActiveTask, type SeeParts} from './see-run.ts'
import {modelOf, refusalOf, requestOf} from './task-request.ts'

export type RunParts = SeeParts &
  ResumeParts & {
    registration: Registration
    executor: Executor
    registrar: (task: Task) => Executor
    config: Config
    stream: TaskStreamState
  }

/** What a task holds while it runs: its lane, and, with it, its slot. */
export type Hold = {lane: Lock | undefined; free: () => void}

/** Resolves with whether the task was ours and has been reported. Rejects only for a bug. */
export type RunTask = (offered: Task, active: ActiveTask, hold: Hold) => Promise<boolean>

/** Everything is in place for the agent, or the reason why it cannot be started. */
type Preparation = {marker: string; runDir: string} & ({ready: PreparedRun} | {failure: string})

/** Takes a task from its claim to its acknowledged report. */
export const taskRun =
  (parts: RunParts): RunTask =>
  async (offered, active, hold) => {
    const {clock, registration} = parts
    // An offer of our own server holds all that the claim will answer: what costs time is done meanwhile.
    const isWhole = registration.has('claim-task') && offered.attempt > 0 && offered.prompt !== ''
    const early = isWhole ? prepare(offered, active, parts) : undefined
    const task = await take(offered, active, early, parts)
    if (!task) return false
    active.attempt = task.attempt
    active.phase = 'starting'
    const isSame = task.attempt === offered.attempt
    const preparation = await ((isSame && early) || prepare(task, active, parts))
    const {marker, runDir: run_dir} = preparation
    const run = {task_id: task.id, attempt: task.attempt, run_dir, title: task.title, agent: task.agent_type}
    const start = starter(preparation, () =>
      parts.journal.begin({
        ...run,
        path: active.codebase,
        marker,
        boot_id: bootId() ?? '',
        model: modelOf(task) ?? null,
        codebase_id: task.codebase_id,
        started_at: clock.now(),
      }),
    )
    await seeRun(run, active, {...hold, start}, parts)
    return true
  }

/** The row in the journal comes before the agent: without it nobody would know of what runs after a crash. */
function starter(preparation: Preparation, begin: () => void): (observer: RunObserver) => Promise<RunningAgent> {
  try {
    begin()
  } catch (error) {
    return async () => {
      throw error
    }
  }

  return async (observer) => {
    if ('failure' in preparation) throw new Error(preparation.failure)
    return await preparation.ready.start(observer)
  }
}

/** The claimed task; undefined when it is not to be had, and then nothing is left of it. */
async function take(
  offered: Task,
  active: ActiveTask,
  early: Promise<Preparation> | undefined,
  parts: RunParts,
): Promise<Task | undefined> {
  const claimed = await claim(offered, parts)
  if ('task' in claimed) {
    parts.emit({type: 'task.claimed', taskId: active.id, attempt: claimed.task.attempt})
    return claimed.task
  }
  parts.emit({type: 'task.dropped', taskId: active.id, reason: claimed.dropped})
  const preparation = await early
  if (preparation && 'ready' in preparation) preparation.ready.discard()
  if (preparation) parts.folders.discard(preparation.runDir)
  return undefined
}

/** Never rejects: what is wrong becomes the task's error once it is ours. */
async function prepare(task: Task, active: ActiveTask, parts: RunParts): Promise<Preparation> {
  const {config, workerId, folders, disk, clock} = parts
  const begunAt = clock.monotonic()
  const marker = `${workerId}:${task.id}:${task.attempt}`
  let runDir = ''
  try {
    runDir = folders.make(task.id, task.attempt)
    const refusal = refusalOf(task, active.codebase, config)
    if (refusal !== undefined) return {marker, runDir, failure: refusal}
    const request = requestOf(task, {cwd: active.codebase, runDir, marker, config})
    const problem = request.sessionId && (await resumeProblem(request.sessionId, placeOf(task, active), parts))
    if (problem) return {marker, runDir, failure: problem}
    active.sessionId = request.sessionId ?? null
    const wasDiskFull = () => disk.wasFullSince(begunAt)
    return {marker, runDir, ready: await executorOf(task, parts).prepare({...request, wasDiskFull})}
  } catch (error) {
    if (isDiskFull(error)) parts.disk.makeRoom() // for journal and report
    return {marker, runDir, failure: reasonOf(error)}
  }
}

const placeOf = (task: Task, {codebase}: ActiveTask) => ({taskId: task.id, directory: codebase})

function executorOf(task: Task, {executor, registrar}: RunParts): Executor {
  if (isRegistration(task)) return registrar(task)
  if (task.agent_type === 'echo') return echoExecutor
  return task.agent_type === 'noop' ? noopExecutor : executor
}
