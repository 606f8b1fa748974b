import type {Config} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import {isDiskFull} from '../../core/disk-full.ts'
import type {Emit} from '../../events/bus.ts'
import type {TaskSource, TroubleKind} from '../../events/worker-event.ts'
import type {StopReason} from '../../executor/executor.ts'
import {isAssignedTo} from '../../protocol/assignment.ts'
import {globalCodebase} from '../../protocol/routes.ts'
import type {Heartbeat, Task} from '../../protocol/schemas.ts'
import {modelOf} from '../admission/policy.ts'
import {isSafeId} from '../disk/run-folders.ts'
import type {DailyCost} from '../health/daily-cost.ts'
import type {ProviderHealth, ProviderUse} from '../health/provider-health.ts'
import type {Lock} from '../locks/lock-file.ts'
import type {WorkingTreeLocks} from '../locks/working-tree-locks.ts'
import type {Codebases} from '../registration/codebases.ts'
import {isRegistrationTask, requestedPath} from '../registration/registration-tasks.ts'
import type {ActiveTask, ActiveTasks} from './active-task.ts'
import {RecentRuns} from './recent-runs.ts'
import {isBuiltin} from './run-request.ts'
import type {OfferedResources} from './run-setup.ts'
import type {RunTask} from './run-task.ts'
import {Slots, type Slot} from './slots.ts'

export type TaskRunnerOptions = {
  codebases: Codebases
  treeLocks: WorkingTreeLocks
  config: Config
  clock: Clock
  emit: Emit
  runTask: RunTask
  workerId: string
  /** Declines a task on the control plane. Returns false if it knows no declining. */
  decline: (task: Task, reason: string, retryMs?: number) => boolean
  /** Looks whether the agent's program is there. If not, it pauses this runner. */
  lookForAgent: () => void
  providers: Pick<ProviderHealth, 'obstacle' | 'begin'>
  dailyCost: Pick<DailyCost, 'obstacle'>
  /** Called when a task has ended and its slot is free. */
  onSlotFree: () => void
}

/** What keeps a worker from taking tasks. */
export type PauseKind = 'operator' | 'disk' | Exclude<TroubleKind, 'provider'>

const maxWaiting = 1000
/** A dropped task is ignored in polls for this long. Otherwise each poll would offer it again. */
const dropMs = 2000

const needsAgent = (task: Task) => !isBuiltin(task) && !isRegistrationTask(task)

/** Takes each task once, from the channel where it arrives first, while a slot and its working tree are free. */
export class TaskRunner implements ActiveTasks {
  readonly #options: TaskRunnerOptions
  readonly #active = new Map<string, ActiveTask>()
  readonly #finished = new RecentRuns()
  /** Runs that could not be taken. */
  readonly #dropped = new RecentRuns()
  /** Tasks that were pushed by a server that does not know declining. */
  readonly #waiting = new Map<string, {task: Task; seenAt: number}>()
  readonly #slots: Slots
  /** Reasons, for people. */
  readonly #pauses = new Map<PauseKind, string>()
  #isDraining = false
  #takenCount = 0

  constructor(options: TaskRunnerOptions) {
    this.#options = options
    this.#slots = new Slots(() => options.config.max_concurrent_tasks)
  }

  get active(): ActiveTask[] {
    return [...this.#active.values()]
  }

  get freeSlots(): number {
    return this.#isDraining || this.#pauses.size > 0 ? 0 : this.#slots.free
  }

  get usedSlots(): number {
    return this.#slots.used
  }

  /** How many tasks were taken since the start. */
  get takenCount(): number {
    return this.#takenCount
  }

  /** The active runs, as a heartbeat lists them. */
  get activeRuns(): NonNullable<Heartbeat['running']> {
    const now = this.#options.clock.now()
    return this.active.map(({id, attempt, waiting, state}) => ({
      id,
      attempt,
      ...(waiting ? {waiting} : {}),
      ...(state ? {state: {state: state.state, what: state.what, for_ms: Math.max(0, now - state.since)}} : {}),
    }))
  }

  /** Takes no more tasks. Active ones go on. */
  drain(): void {
    this.#isDraining = true
    this.#waiting.clear()
  }

  /** Pauses for a reason, or ends that pause (null). The worker takes tasks when no reason is left. */
  setPaused(kind: PauseKind, reason: string | null): void {
    if (reason === (this.#pauses.get(kind) ?? null)) return
    if (reason === null) this.#pauses.delete(kind)
    else this.#pauses.set(kind, reason)
    const {emit} = this.#options
    if (kind === 'operator') emit({type: 'pause.changed', isPaused: reason !== null})
    else if (kind !== 'disk') emit({type: 'trouble.changed', kind, name: '', reason})
    if (this.#pauses.size === 0) this.fillSlots()
  }

  /** Why the worker takes no tasks now, for people, or null. */
  get pauseReason(): string | null {
    const [reason = null] = this.#pauses.values()
    return reason
  }

  /** Called when more tasks may be taken than before. */
  fillSlots(): void {
    this.#takeWaiting()
    this.#options.onSlotFree()
  }

  /** Adds a recovered run to the active tasks. `isRunning`: its agent is alive, so it occupies a slot at once. */
  adopt(task: ActiveTask, isRunning: boolean, supervise: (slot: Slot) => Promise<void>): void {
    this.#active.set(task.id, task)
    const slot = this.#slots.create()
    if (isRunning) slot.acquire()
    task.done = supervise(slot).finally(() => {
      slot.release()
      this.#finished.add(task, this.#options.clock.monotonic())
      this.#active.delete(task.id)
      this.fillSlots()
    })
  }

  /** Offers a task that was pushed, or seen in a poll that was sent at `seenAt` (monotonic ms). */
  offer(task: Task, source: TaskSource, seenAt: number): void {
    const isAssigned = isAssignedTo(task, this.#options.workerId)
    if (task.status === 'assigned' && !isAssigned) return
    if (!this.#concerns(task)) return isAssigned ? this.#drop(task, 'this worker serves no such codebase') : undefined
    if (this.#isRepeated(task, seenAt)) return
    const active = this.#active.get(task.id)
    // The next attempt may be offered before the report of this one is answered.
    if (active && task.attempt > active.attempt) this.#waiting.set(task.id, {task, seenAt})
    if (active) return
    if (!isAssigned && source === 'poll' && seenAt - (this.#dropped.timeOf(task) ?? -Infinity) < dropMs) return
    if (!isSafeId(task.id)) return this.#warnOfBadId(task)
    const pathProblem = this.#pathProblem(task)
    if (pathProblem !== undefined) return this.#drop(task, pathProblem)
    if (this.#pauses.size === 0 && needsAgent(task)) this.#options.lookForAgent()
    const obstacle = this.#obstacle()
    if (obstacle !== undefined) return this.#postpone(task, obstacle, source)
    const {dailyCost, providers} = this.#options
    const refusal = needsAgent(task) ? (dailyCost.obstacle() ?? providers.obstacle(this.#useOf(task))) : undefined
    if (refusal) return this.#postpone(task, refusal.reason, source, refusal.retryMs)
    const lock = this.#lockTree(task)
    if (typeof lock === 'string') return this.#postpone(task, lock, source)
    this.#waiting.delete(task.id)
    const {id: taskId, title, attempt} = task
    const path = this.#options.codebases.pathOf(task.codebase_id) ?? ''
    this.#options.emit({type: 'task.received', taskId, title, source, attempt, path})
    this.#begin(task, lock, seenAt)
  }

  stop(taskId: string, reason: StopReason): boolean {
    const task = this.#active.get(taskId)
    if (!task || task.phase === 'reporting') return false
    if (!task.stop) this.#options.emit({type: 'task.stopping', taskId, reason: reason.error})
    task.stop ??= reason
    task.agent?.stop(task.stop)
    return true
  }

  stopAll(reason: StopReason): void {
    for (const {id} of this.active) this.stop(id, reason)
  }

  /** Resolves when no task is active. */
  async idle(): Promise<void> {
    while (this.#active.size > 0) await Promise.all(this.active.map(({done}) => done))
  }

  #concerns(task: Task): boolean {
    const {codebases} = this.#options
    const {codebase_id: id} = task
    return isRegistrationTask(task) || codebases.pathOf(id) !== undefined || codebases.wasRemoved(id)
  }

  /**
   * Whether this run ended here already. With attempts, a requeued task is another run. Without them, only a poll that
   * was sent after our report proves that the task is pending again: pushes repeat, and an older list may be stale.
   */
  #isRepeated(task: Task, seenAt: number): boolean {
    const endedAt = this.#finished.timeOf(task)
    if (endedAt === undefined) return false
    return task.attempt > 0 || seenAt <= endedAt
  }

  /** Why no task at all can be taken now. */
  #obstacle(): string | undefined {
    if (this.#isDraining) return 'the worker is draining'
    if (this.pauseReason !== null) return this.pauseReason
    return this.freeSlots <= 0 ? 'no slot is free' : undefined
  }

  #lockTree(task: Task): Lock | string | undefined {
    const path = this.#options.codebases.pathOf(task.codebase_id) ?? ''
    if (!needsAgent(task)) return undefined
    try {
      return this.#options.treeLocks.acquire(path, task.id)
    } catch (error) {
      if (isDiskFull(error)) return 'no lock can be written for its working tree: the disk is full'
      // The directory does not exist. The task is taken and fails with that reason.
      return undefined
    }
  }

  #useOf(task: Task): ProviderUse {
    return {model: modelOf(task), codebase: this.#options.codebases.pathOf(task.codebase_id) ?? ''}
  }

  /** Why another worker should have the task: its path is not here, or not allowed. */
  #pathProblem(task: Task): string | undefined {
    if (this.#options.codebases.wasRemoved(task.codebase_id)) return 'its codebase is no longer served'
    const path = isRegistrationTask(task) ? requestedPath(task) : undefined
    return path === undefined ? undefined : this.#options.codebases.problemWith(path)
  }

  #warnOfBadId({id}: Task): void {
    const text = `Ignored a task whose id cannot be used: ${JSON.stringify(id.slice(0, 60))}`
    this.#options.emit({type: 'notice', level: 'warn', text})
  }

  #drop(task: Task, reason: string): void {
    const {emit, clock, decline} = this.#options
    if (this.#dropped.timeOf(task) === undefined) emit({type: 'task.dropped', taskId: task.id, reason})
    this.#dropped.add(task, clock.monotonic())
    decline(task, reason)
  }

  /** Declines a pushed task for now, or remembers it if the control plane does not know declining. */
  #postpone(task: Task, reason: string, source: TaskSource, retryMs?: number): void {
    const isPushed = source === 'stream' || task.status === 'assigned'
    const isDeclined = isPushed && this.#options.decline(task, reason, retryMs)
    if (!isDeclined) {
      if (this.#isDraining || this.#waiting.has(task.id) || this.#waiting.size >= maxWaiting) return
      this.#waiting.set(task.id, {task, seenAt: this.#options.clock.monotonic()})
    }

    const path = this.#options.codebases.pathOf(task.codebase_id) ?? ''
    this.#options.emit({type: 'task.waiting', taskId: task.id, title: task.title, reason, path})
  }

  #begin(offered: Task, treeLock: Lock | undefined, receivedAt: number): void {
    const {codebases, clock} = this.#options
    const task: ActiveTask = {
      id: offered.id,
      title: offered.title,
      attempt: offered.attempt,
      codebase: codebases.pathOf(offered.codebase_id) ?? '',
      phase: 'claiming',
      since: clock.now(),
      isPortable: offered.codebase_id === globalCodebase,
      heldSince: clock.monotonic(),
      sessionId: null,
      done: Promise.resolve(),
    }
    const slot = this.#slots.create()
    slot.acquire()
    this.#takenCount += 1
    this.#active.set(task.id, task)
    const endTrial = needsAgent(offered) ? this.#options.providers.begin(this.#useOf(offered)) : () => {}
    let isReleased = false
    const release = () => {
      if (isReleased) return
      isReleased = true
      endTrial()
      treeLock?.[Symbol.dispose]()
      slot.release()
    }
    task.done = this.#run(offered, task, {treeLock, release, receivedAt})
  }

  async #run(offered: Task, task: ActiveTask, resources: OfferedResources): Promise<void> {
    const {runTask, emit, clock} = this.#options
    try {
      const isOurs = await runTask(offered, task, resources)
      const runs = isOurs ? this.#finished : this.#dropped
      runs.add(task, clock.monotonic())
    } catch (error) {
      const text = `A bug in the worker: ${error instanceof Error ? error.stack : String(error)}`
      emit({type: 'notice', level: 'error', taskId: task.id, text})
      emit({type: 'task.dropped', taskId: task.id, reason: 'a bug in the worker'})
    }

    resources.release()
    this.#active.delete(task.id)
    this.fillSlots()
  }

  #takeWaiting(): void {
    for (const {task, seenAt} of [...this.#waiting.values()]) {
      if (this.freeSlots <= 0) return
      this.#waiting.delete(task.id)
      this.offer(task, 'poll', task.status === 'assigned' ? seenAt : this.#options.clock.monotonic())
    }
  }
}
