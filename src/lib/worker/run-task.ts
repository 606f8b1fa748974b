import type {ControlPlaneClient} from '../client/control-plane.ts'
import type {Config} from '../config/settings.ts'
import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import type {Emit} from '../events/bus.ts'
import {echoExecutor, noopExecutor} from '../executor/builtin.ts'
import {noUsage} from '../executor/executor.ts'
import type {Executor, PreparedRun, RunningAgent, RunObserver, RunOutcome, StopReason} from '../executor/executor.ts'
import {bootId} from '../executor/processes.ts'
import type {Journal} from '../journal/journal.ts'
import type {Task} from '../protocol/schemas.ts'
import {claim, type TaskStreamState} from './claim.ts'
import type {Delivery, Tail} from './delivery.ts'
import {reasonToStop} from './held-task.ts'
import type {Lock} from './lock-file.ts'
import {isRegistration} from './registrar.ts'
import type {Registration} from './registration.ts'
import type {RunFolders} from './run-directory.ts'
import {attemptOf, refusalOf, reportOf, requestOf} from './task-request.ts'

/** A task in hand, from the moment its slot is taken until its end is reported. */
export type ActiveTask = {
  id: string
  title: string
  attempt: number
  codebase: string
  phase: 'claiming' | 'starting' | 'running' | 'reporting'
  since: number
  sessionId: string | null
  agent?: RunningAgent
  stop?: StopReason
  /** Settles when the server has been told the session, or has not. */
  attached?: Promise<void>
  done: Promise<void>
}

export type RunParts = {
  client: ControlPlaneClient
  registration: Registration
  journal: Journal
  delivery: Delivery
  executor: Executor
  registrar: (task: Task) => Executor
  config: Config
  clock: Clock
  emit: Emit
  workerId: string
  folders: RunFolders
  stream: TaskStreamState
  /** Aborted when nothing may go on, not even reports. */
  signal: AbortSignal
}

/** What a task holds while it runs: its lane, and, with it, its slot. */
export type Hold = {lane: Lock | undefined; free: () => void}

/** Resolves with whether the task was ours and has been reported. Rejects only for a bug. */
export type RunTask = (offered: Task, active: ActiveTask, hold: Hold) => Promise<boolean>

/** Everything is in place for the agent, or the reason why it cannot be started. */
type Preparation = {marker: string; runDir: string} & ({ready: PreparedRun} | {failure: string})

/** Our own server is told the session of a run that goes on; one that ends sooner tells it with its report. */
const sessionAfterMs = 100

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
    const begun = clock.monotonic()
    const isSame = task.attempt === offered.attempt
    const preparation = await ((isSame && early) || prepare(task, active, parts))
    const run = {task_id: task.id, attempt: task.attempt, run_dir: preparation.runDir}
    const {marker} = preparation
    parts.journal.begin({...run, title: task.title, path: active.codebase, marker, boot_id: bootId() ?? ''})
    const {outcome, output} = await execute(task, active, {preparation, lane: hold.lane, begun}, parts)
    await finish(task, active, {run, outcome, output, free: hold.free}, parts)
    parts.folders.ended(run.run_dir)
    return true
  }

/** The claimed task; undefined when it is not to be had, and then nothing is left of it. */
async function take(
  offered: Task,
  active: ActiveTask,
  early: Promise<Preparation> | undefined,
  parts: RunParts,
): Promise<Task | undefined> {
  const claimed = await claim(offered, parts)
  if ('task' in claimed) return claimed.task
  parts.emit({type: 'task.dropped', taskId: active.id, reason: claimed.dropped})
  const preparation = await early
  if (preparation && 'ready' in preparation) preparation.ready.discard()
  if (preparation) parts.folders.discard(preparation.runDir)
  return undefined
}

/** Never rejects: what is wrong becomes the task's error once it is ours. */
async function prepare(task: Task, active: ActiveTask, parts: RunParts): Promise<Preparation> {
  const {config, workerId, folders} = parts
  const marker = `${workerId}:${task.id}:${task.attempt}`
  let runDir = ''
  try {
    runDir = folders.make(task.id, task.attempt)
    const refusal = refusalOf(task, active.codebase, config)
    if (refusal !== undefined) return {marker, runDir, failure: refusal}
    const request = requestOf(task, {cwd: active.codebase, runDir, marker, config})
    return {marker, runDir, ready: await executorOf(task, parts).prepare(request)}
  } catch (error) {
    return {marker, runDir, failure: messageOf(error)}
  }
}

function executorOf(task: Task, {executor, registrar}: RunParts): Executor {
  if (isRegistration(task)) return registrar(task)
  if (task.agent_type === 'echo') return echoExecutor
  return task.agent_type === 'noop' ? noopExecutor : executor
}

type Start = {preparation: Preparation; lane: Lock | undefined; begun: number}
type Executed = {outcome: RunOutcome; output: Promise<Tail | undefined>}

/** Runs the task to its end, its output on its way meanwhile. Never rejects: what goes wrong is the outcome. */
async function execute(
  task: Task,
  active: ActiveTask,
  {preparation, lane, begun}: Start,
  parts: RunParts,
): Promise<Executed> {
  const {clock} = parts
  const ended = new AbortController()
  let output: Promise<Tail | undefined> = Promise.resolve(undefined)
  const run = {task_id: task.id, attempt: task.attempt, run_dir: preparation.runDir}
  const life = {isGone: false}
  const end = {isClosing: () => life.isGone, ended: ended.signal}
  let isRelayed = false
  const relay = () => {
    // A second start goes on in the same spool.
    if (!isRelayed) output = parts.delivery.output(run, 0, end)
    isRelayed = true
  }
  try {
    if ('failure' in preparation) throw new Error(preparation.failure)
    if (active.stop) return {outcome: ofNothing(active.stop), output}
    active.agent = await preparation.ready.start(observe(task, active, {lane, life, ended: ended.signal, relay}, parts))
    active.phase = 'running'
    if (active.stop) active.agent.stop(active.stop)
    return {outcome: await active.agent.outcome, output}
  } catch (error) {
    const outcome = ofNothing({status: 'failed', error: messageOf(error)})
    return {outcome: {...outcome, usage: {...noUsage, duration_ms: Math.round(clock.monotonic() - begun)}}, output}
  } finally {
    ended.abort()
  }
}

type Observed = {lane: Lock | undefined; life: {isGone: boolean}; ended: AbortSignal; relay: () => void}

/** Writes down and passes on what a run tells of itself. */
function observe(task: Task, active: ActiveTask, {lane, life, ended, relay}: Observed, parts: RunParts): RunObserver {
  const {journal, emit} = parts
  const {id: taskId, attempt, title, agent_type: agent} = task
  return {
    spawned: ({pid, startTime}) => {
      journal.spawned({task_id: taskId, attempt}, pid, startTime)
      lane?.handTo({pid, startTime})
      emit({type: 'task.started', taskId, attempt, title, path: active.codebase, agent, pid})
      life.isGone = false
      relay()
    },
    exited: () => (life.isGone = true),
    session: (id) => {
      active.sessionId = id
      journal.session({task_id: taskId, attempt}, id)
      emit({type: 'task.session', taskId, sessionId: id})
      // Once more with the final report, so a failure here costs nothing.
      active.attached = attachSession(task, active, id, ended, parts).catch(() => {})
    },
    activity: (line) => emit({type: 'task.activity', taskId, line}),
    warning: (text) => emit({type: 'notice', level: 'warn', taskId, text}),
  }
}

async function attachSession(
  {id, attempt}: Task,
  active: ActiveTask,
  sessionId: string,
  ended: AbortSignal,
  {client, clock, workerId, signal}: RunParts,
): Promise<void> {
  if (attempt > 0) await clock.sleep(sessionAfterMs, ended)
  if (attempt > 0 && (ended.aborted || signal.aborted)) return
  // A server without attempts would take `running` for the end of a cancellation that came meanwhile.
  const reason = attempt === 0 ? reasonToStop(await client.task(id, signal), attempt, workerId) : undefined
  if (reason) {
    active.stop ??= reason
    active.agent?.stop(reason)
    return
  }

  const update = {status: 'running', worker_id: workerId, session_id: sessionId, ...attemptOf({attempt})}
  await client.updateStatus(id, update, signal)
}

type Ending = Executed & {run: {task_id: string; attempt: number; run_dir: string}; free: () => void}

async function finish(task: Task, active: ActiveTask, {run, outcome, output, free}: Ending, parts: RunParts) {
  const {emit, delivery, journal, workerId} = parts
  const {status, error, usage} = outcome
  emit({type: 'task.finished', taskId: task.id, status, ms: usage.duration_ms ?? 0, error, cost: usage.cost})
  active.phase = 'reporting'
  const report = reportOf(task, outcome, workerId)
  journal.freeze(run, report)
  const tail = await output
  // A server without attempts lets a late `running` undo the final state.
  if (task.attempt === 0) await active.attached
  // The tree is free before the server hears of it: its next offer may come before its answer.
  free()
  await delivery.report(run, report, tail)
}

const ofNothing = ({status, error}: StopReason): RunOutcome => ({
  status,
  result: null,
  error,
  sessionId: null,
  usage: {...noUsage, duration_ms: 0},
})
