import {normalizeModel} from '../opencode/command.ts'
import type {ControlPlaneClient} from '../client/control-plane.ts'
import type {Config} from '../config/settings.ts'
import type {Clock} from '../core/clock.ts'
import {messageOf} from '../core/errors.ts'
import type {Emit} from '../events/bus.ts'
import type {TaskSource} from '../events/worker-event.ts'
import {echoExecutor, noopExecutor} from '../executor/builtin.ts'
import type {Executor, RunningAgent, RunOutcome, StopReason} from '../executor/executor.ts'
import {bootId} from '../executor/processes.ts'
import type {Journal} from '../journal/journal.ts'
import {isFinal, type StatusUpdate, type Task} from '../protocol/schemas.ts'
import {claim, type TaskStreamState} from './claim.ts'
import {Delivery} from './delivery.ts'
import {reasonToStop} from './held-task.ts'
import type {Lanes} from './lanes.ts'
import type {Lock} from './lock-file.ts'
import {directoryProblem, type Registration} from './registration.ts'
import {isSafeId, makeRunDirectory, tidyRuns} from './run-directory.ts'

export type RunnerParts = {
  client: ControlPlaneClient
  registration: Registration
  journal: Journal
  lanes: Lanes
  executor: Executor
  delivery: Delivery
  config: Config
  clock: Clock
  emit: Emit
  workerId: string
  workerDir: string
  /** Aborted when nothing may go on, not even reports. */
  signal: AbortSignal
  stream: TaskStreamState
  /** A task has ended and its slot is free. */
  onFree: () => void
}

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

const mostRemembered = 10_000
const mostWaiting = 1000
/** A task that could not be taken is left alone for so long: a list of what is pending may show it at once again. */
const dropMs = 2000

/** One dedupe, the slots and the lanes: what reaches the worker from any source is taken once, or not at all. */
export class TaskRunner {
  readonly #parts: RunnerParts
  readonly #active = new Map<string, ActiveTask>()
  /** Key of each run that ended here, with the monotonic time of it. */
  readonly #finished = new Map<string, number>()
  /** The same of each that could not be taken. */
  readonly #dropped = new Map<string, number>()
  /** What a server that cannot be told `not now` has pushed. */
  readonly #waiting = new Map<string, Task>()
  #slotsUsed = 0
  #isDraining = false
  #taken = 0

  constructor(parts: RunnerParts) {
    this.#parts = parts
  }

  get active(): ActiveTask[] {
    return [...this.#active.values()]
  }

  get free(): number {
    return this.#isDraining ? 0 : this.#parts.config.max_concurrent_tasks - this.#slotsUsed
  }

  /** Tasks that were begun since the start. */
  get taken(): number {
    return this.#taken
  }

  /** What this worker holds, as heartbeats say it. */
  get held(): {id: string; attempt: number}[] {
    return this.active.map(({id, attempt}) => ({id, attempt}))
  }

  /** Takes nothing more. */
  drain(): void {
    this.#isDraining = true
    this.#waiting.clear()
  }

  /** Counts a run that was found at the start as held, until `done` settles. */
  adopt(task: ActiveTask): void {
    this.#active.set(task.id, task)
    void task.done.finally(() => this.#active.delete(task.id))
  }

  /** A task was pushed, or seen in a poll that asked the server at `seenAt` (monotonic ms). */
  offer(task: Task, source: TaskSource, seenAt: number): void {
    if (!this.#serves(task) || this.#active.has(task.id) || this.#isRepeated(task, seenAt)) return
    if (source === 'poll' && seenAt - (this.#dropped.get(keyOf(task)) ?? -Infinity) < dropMs) return
    if (!isSafeId(task.id))
      return void this.#parts.emit({
        type: 'notice',
        level: 'warn',
        text: `Ignored a task whose id cannot be used: ${JSON.stringify(task.id.slice(0, 60))}`,
      })
    if (this.#isDraining) return this.#decline(task, 'the worker is draining', source)
    if (this.free <= 0) return this.#decline(task, 'no slot is free', source)
    const lane = this.#takeLane(task)
    if (typeof lane === 'string') return this.#decline(task, lane, source)
    this.#waiting.delete(task.id)
    this.#parts.emit({type: 'task.received', taskId: task.id, title: task.title, source})
    this.#begin(task, lane)
  }

  /** Ends a task early, wherever it is. False: it is not here. */
  stop(taskId: string, reason: StopReason): boolean {
    const task = this.#active.get(taskId)
    if (!task || task.phase === 'reporting') return false
    if (!task.stop) this.#parts.emit({type: 'task.stopping', taskId, reason: reason.error})
    task.stop ??= reason
    task.agent?.stop(task.stop)
    return true
  }

  stopAll(reason: StopReason): void {
    for (const {id} of this.active) this.stop(id, reason)
  }

  /** Resolves when no task is in hand. */
  async idle(): Promise<void> {
    while (this.#active.size > 0) await Promise.all(this.active.map(({done}) => done))
  }

  // -------------------------------------------------------------------------------------------------- taking

  #serves(task: Task): boolean {
    return this.#parts.registration.paths.has(task.codebase_id)
  }

  /**
   * Ended here before? With attempts a put-back task is another run. Without, only a server that shows it pending
   * after our report means it: pushes come twice, and a list may be from before.
   */
  #isRepeated(task: Task, seenAt: number): boolean {
    const endedAt = this.#finished.get(keyOf(task))
    if (endedAt === undefined) return false
    return task.attempt > 0 || seenAt <= endedAt
  }

  #takeLane(task: Task): Lock | string | undefined {
    const path = this.#parts.registration.paths.get(task.codebase_id) ?? ''
    if (isBuiltin(task)) return undefined
    try {
      return this.#parts.lanes.take(path, task.id)
    } catch {
      // The directory is gone: the task is taken, and fails with that reason.
      return undefined
    }
  }

  #decline(task: Task, reason: string, source: TaskSource): void {
    const {client, registration, workerId, emit, signal} = this.#parts
    if (source === 'stream' && registration.has('decline'))
      void client.decline(task.id, workerId, reason, signal).catch(() => {})
    else if (!this.#isDraining && !this.#waiting.has(task.id) && this.#waiting.size < mostWaiting)
      this.#waiting.set(task.id, task)
    else return
    emit({type: 'task.waiting', taskId: task.id, title: task.title, reason})
  }

  #begin(offered: Task, lane: Lock | undefined): void {
    const task: ActiveTask = {
      id: offered.id,
      title: offered.title,
      attempt: offered.attempt,
      codebase: this.#parts.registration.paths.get(offered.codebase_id) ?? '',
      phase: 'claiming',
      since: this.#parts.clock.now(),
      sessionId: null,
      done: Promise.resolve(),
    }
    this.#slotsUsed += 1
    this.#taken += 1
    this.#active.set(task.id, task)
    let isFree = false
    const free = () => {
      if (isFree) return
      isFree = true
      lane?.[Symbol.dispose]()
      this.#slotsUsed -= 1
    }
    task.done = this.#run(offered, task, lane, free)
      .catch((error: unknown) =>
        this.#parts.emit({
          type: 'notice',
          level: 'error',
          taskId: task.id,
          text: `A bug in the worker: ${error instanceof Error ? error.stack : String(error)}`,
        }),
      )
      .finally(() => {
        free()
        this.#active.delete(task.id)
        this.#next()
        this.#parts.onFree()
      })
  }

  #next(): void {
    for (const task of [...this.#waiting.values()]) {
      if (this.free <= 0) return
      this.#waiting.delete(task.id)
      this.offer(task, 'poll', this.#parts.clock.monotonic())
    }
  }

  // ------------------------------------------------------------------------------------------------- running

  async #run(offered: Task, active: ActiveTask, lane: Lock | undefined, free: () => void): Promise<void> {
    const {emit, clock, delivery, journal, workerDir} = this.#parts
    const claimed = await claim(offered, this.#parts)
    if ('dropped' in claimed) {
      emit({type: 'task.dropped', taskId: offered.id, reason: claimed.dropped})
      return remember(this.#dropped, offered, clock.monotonic())
    }

    const {task} = claimed
    active.attempt = task.attempt
    active.phase = 'starting'
    const run = {task_id: task.id, attempt: task.attempt, run_dir: makeRunDirectory(workerDir, task.id, task.attempt)}
    const {outcome, output} = await this.#execute(task, active, run.run_dir, lane)
    emit({
      type: 'task.finished',
      taskId: task.id,
      status: outcome.status,
      ms: outcome.usage.duration_ms ?? 0,
      error: outcome.error,
      cost: outcome.usage.cost,
    })
    active.phase = 'reporting'
    const report = reportOf(task, outcome, this.#parts.workerId)
    journal.freeze(run, report)
    await output
    // A server without attempts lets a late `running` undo the final state.
    if (task.attempt === 0) await active.attached
    // The tree is free before the server hears of it: its next offer may come before its answer.
    free()
    if (await delivery.report(run, report)) remember(this.#finished, task, clock.monotonic())
    tidyRuns(workerDir, run.run_dir, new Set(this.#active.keys()))
  }

  /** Runs the task to its end, its output on its way meanwhile. Never throws: what goes wrong is the outcome. */
  async #execute(
    task: Task,
    active: ActiveTask,
    runDir: string,
    lane: Lock | undefined,
  ): Promise<{outcome: RunOutcome; output: Promise<void>}> {
    const {journal, emit, delivery, config, workerId, clock} = this.#parts
    const run = {task_id: task.id, attempt: task.attempt, run_dir: runDir}
    const ended = new AbortController()
    const marker = `${workerId}:${task.id}:${task.attempt}`
    const started = clock.monotonic()
    let output = Promise.resolve()
    try {
      const problem = this.#policy(task) ?? directoryProblem(active.codebase)
      if (problem)
        throw new Error(problem.startsWith('the path') ? `${active.codebase}: ${problem} on this worker` : problem)
      journal.begin({...run, title: task.title, path: active.codebase, marker, boot_id: bootId() ?? ''})
      if (active.stop) return {outcome: stopped(active.stop), output}
      const request = requestOf(task, active.codebase, runDir, marker, config)
      const agent = await this.#executor(task).start(request, {
        spawned: (process) => {
          journal.spawned(run, process.pid, process.startTime)
          lane?.handTo(process)
          emit({
            type: 'task.started',
            taskId: task.id,
            attempt: task.attempt,
            title: task.title,
            path: active.codebase,
            agent: task.agent_type,
            pid: process.pid,
          })
          output = delivery.output(run, 0, ended.signal)
        },
        session: (id) => this.#onSession(task, active, id),
        activity: (line) => emit({type: 'task.activity', taskId: task.id, line}),
        warning: (text) => emit({type: 'notice', level: 'warn', taskId: task.id, text}),
      })
      active.agent = agent
      active.phase = 'running'
      if (active.stop) agent.stop(active.stop)
      return {outcome: await agent.outcome, output}
    } catch (error) {
      const outcome = stopped({status: 'failed', error: messageOf(error)})
      return {
        outcome: {...outcome, usage: {...outcome.usage, duration_ms: Math.round(clock.monotonic() - started)}},
        output,
      }
    } finally {
      ended.abort()
    }
  }

  #executor(task: Task): Executor {
    if (task.agent_type === 'echo') return echoExecutor
    if (task.agent_type === 'noop') return noopExecutor
    return this.#parts.executor
  }

  /** What this worker does not run, whatever the server says. */
  #policy(task: Task): string | undefined {
    const {allowed_agents: agents, allowed_models: models} = this.#parts.config
    if (agents && !agents.includes(task.agent_type))
      return `This worker does not run the agent ${task.agent_type} (allowed_agents: ${agents.join(', ')})`
    const model = modelOf(task)
    if (models && (model === undefined || !models.includes(model)))
      return `This worker does not run ${model === undefined ? 'tasks that name no model' : `the model ${model}`} (allowed_models: ${models.join(', ')})`
    return task.prompt.trim() === '' ? 'The task has no prompt' : undefined
  }

  #onSession(task: Task, active: ActiveTask, id: string): void {
    const {journal, emit} = this.#parts
    active.sessionId = id
    journal.session({task_id: task.id, attempt: task.attempt}, id)
    emit({type: 'task.session', taskId: task.id, sessionId: id})
    // Once more with the final report, so a failure here costs nothing.
    active.attached = this.#attach(task, id).catch(() => {})
  }

  async #attach({id, attempt}: Task, sessionId: string): Promise<void> {
    const {client, workerId, signal} = this.#parts
    // A server without attempts would take `running` for the end of a cancellation that came meanwhile.
    const reason = attempt === 0 ? reasonToStop(await client.task(id, signal), attempt, workerId) : undefined
    if (reason) return void this.stop(id, reason)
    const update = {status: 'running', worker_id: workerId, session_id: sessionId}
    await client.updateStatus(id, attempt > 0 ? {...update, attempt} : update, signal)
  }
}

const isBuiltin = (task: Task) => task.agent_type === 'echo' || task.agent_type === 'noop'

const keyOf = ({id, attempt}: Task) => `${id}/${attempt}`

/** The newest only: their number does not grow with the days. */
function remember(runs: Map<string, number>, task: Task, at: number): void {
  runs.delete(keyOf(task))
  runs.set(keyOf(task), at)
  const oldest = runs.keys().next().value
  if (runs.size > mostRemembered && oldest !== undefined) runs.delete(oldest)
}

const attemptOf = ({attempt}: Task) => (attempt > 0 ? {attempt} : {})

const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined)

const modelOf = (task: Task) => normalizeModel(textOf(task.metadata['model']) ?? task.model)

function requestOf(task: Task, cwd: string, runDir: string, marker: string, config: Config) {
  return {
    taskId: task.id,
    attempt: task.attempt,
    title: task.title,
    prompt: task.prompt,
    agent: task.agent_type,
    model: modelOf(task),
    sessionId: textOf(task.metadata['resume_session_id']),
    cwd,
    runDir,
    marker,
    deadlines: {
      startup: config.startup_timeout * 1000,
      idle: config.idle_timeout * 1000,
      tool: config.tool_timeout * 1000,
      total: config.task_timeout * 1000,
      grace: config.cancel_grace * 1000,
    },
  }
}

const stopped = ({status, error}: StopReason): RunOutcome => ({
  status,
  result: null,
  error,
  sessionId: null,
  usage: {input: 0, output: 0, reasoning: 0, cache_read: 0, cache_write: 0, cost: 0, model: null, duration_ms: 0},
})

function reportOf(task: Task, outcome: RunOutcome, workerId: string): StatusUpdate {
  if (!isFinal(outcome.status)) throw new Error(`a run cannot end as ${outcome.status as string}`)
  return {
    status: outcome.status,
    worker_id: workerId,
    result: outcome.result,
    error: outcome.error,
    session_id: outcome.sessionId,
    usage: outcome.usage,
    ...attemptOf(task),
  }
}
