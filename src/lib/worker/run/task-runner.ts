import type {Clock} from '../../core/clock.ts'
import {isDiskFull} from '../../core/disk-full.ts'
import type {ControlPlaneClient} from '../../client/control-plane.ts'
import type {Config} from '../../config/settings.ts'
import type {Emit} from '../../events/bus.ts'
import type {TaskSource} from '../../events/worker-event.ts'
import type {StopReason} from '../../executor/executor.ts'
import {globalCodebase} from '../../protocol/routes.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {Codebases} from '../registration/codebases.ts'
import type {Lanes} from '../locks/lanes.ts'
import type {Lock} from '../locks/lock-file.ts'
import type {Registration} from '../registration/registration.ts'
import {isSafeId} from '../disk/run-directory.ts'
import type {RunTask} from './run-task.ts'
import type {ActiveTask} from './see-run.ts'
import {isRegistration, wantedPath} from '../registration/registrar.ts'
import {isBuiltin} from './task-request.ts'

export type RunnerParts = {
  client: ControlPlaneClient
  registration: Registration
  codebases: Codebases
  lanes: Lanes
  config: Config
  clock: Clock
  emit: Emit
  workerId: string
  /** Aborted when nothing may go on, not even reports. */
  signal: AbortSignal
  /** Takes a task from its claim to its acknowledged report. */
  run: RunTask
  /** A task has ended and its slot is free. */
  onFree: () => void
}

/** A place of a run among those that may run at once. */
export type Slot = {take: () => void; free: () => void}

/** Why nothing is taken, in words for the server. */
const pauses = {operator: 'the worker is paused', disk: 'the disk of the worker is nearly full'} as const
export type Pause = keyof typeof pauses

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
  /** Why nothing is taken for a while: several reasons may hold at once. */
  readonly #pauses = new Set<Pause>()
  #isDraining = false
  #taken = 0

  constructor(parts: RunnerParts) {
    this.#parts = parts
  }

  get active(): ActiveTask[] {
    return [...this.#active.values()]
  }

  get free(): number {
    if (this.#isDraining || this.#pauses.size > 0) return 0
    // What was taken up may be more than there are slots now.
    return Math.max(0, this.#parts.config.max_concurrent_tasks - this.#slotsUsed)
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

  /** Takes nothing while there is a reason for it; what runs goes on. */
  setPaused(isPaused: boolean, why: Pause): void {
    if (isPaused === this.#pauses.has(why)) return
    if (isPaused) this.#pauses.add(why)
    else this.#pauses.delete(why)
    if (why === 'operator') this.#parts.emit({type: 'pause.changed', isPaused})
    if (this.#pauses.size === 0) this.lookForMore()
  }

  /** There is room where there was none. */
  lookForMore(): void {
    this.#next()
    this.#parts.onFree()
  }

  /** Counts a run that was found at the start as held; `isRunning`: it has a slot from the beginning. */
  adopt(task: ActiveTask, isRunning: boolean, see: (slot: Slot) => Promise<void>): void {
    this.#active.set(task.id, task)
    let isHeld = false
    const take = () => {
      if (!isHeld) this.#slotsUsed += 1
      isHeld = true
    }
    const free = () => {
      if (isHeld) this.#slotsUsed -= 1
      isHeld = false
    }
    if (isRunning) take()
    task.done = see({take, free}).finally(() => {
      free()
      remember(this.#finished, task, this.#parts.clock.monotonic())
      this.#active.delete(task.id)
      this.#next()
      this.#parts.onFree()
    })
  }

  /** A task was pushed, or seen in a poll that asked the server at `seenAt` (monotonic ms). */
  offer(task: Task, source: TaskSource, seenAt: number): void {
    if (!this.#concerns(task) || this.#isRepeated(task, seenAt)) return
    const known = this.#active.get(task.id)
    // Its next attempt may be offered before the report of this one is answered.
    if (known && task.attempt > known.attempt) this.#waiting.set(task.id, task)
    if (known) return
    if (source === 'poll' && seenAt - (this.#dropped.get(keyOf(task)) ?? -Infinity) < dropMs) return
    if (!isSafeId(task.id))
      return void this.#parts.emit({
        type: 'notice',
        level: 'warn',
        text: `Ignored a task whose id cannot be used: ${JSON.stringify(task.id.slice(0, 60))}`,
      })
    const lacks = this.#lacksPath(task)
    if (lacks !== undefined) return this.#passOn(task, lacks)
    if (this.#isDraining) return this.#decline(task, 'the worker is draining', source)
    const [pause] = this.#pauses
    if (pause) return this.#decline(task, pauses[pause], source)
    if (this.free <= 0) return this.#decline(task, 'no slot is free', source)
    const lane = this.#takeLane(task)
    if (typeof lane === 'string') return this.#decline(task, lane, source)
    this.#waiting.delete(task.id)
    const {id: taskId, title, attempt} = task
    const path = this.#parts.codebases.pathOf(task.codebase_id) ?? ''
    this.#parts.emit({type: 'task.received', taskId, title, source, attempt, path})
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

  #concerns(task: Task): boolean {
    const {codebases} = this.#parts
    const {codebase_id: id} = task
    return isRegistration(task) || codebases.pathOf(id) !== undefined || codebases.wasRemoved(id)
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
    const path = this.#parts.codebases.pathOf(task.codebase_id) ?? ''
    if (isBuiltin(task) || isRegistration(task)) return undefined
    try {
      return this.#parts.lanes.take(path, task.id)
    } catch (error) {
      if (isDiskFull(error)) return 'no lock can be written for its working tree: the disk is full'
      // The directory is gone: the task is taken, and fails with that reason.
      return undefined
    }
  }

  /** A path that is not here, or not allowed, is another worker's to register, or to work in. */
  #lacksPath(task: Task): string | undefined {
    if (this.#parts.codebases.wasRemoved(task.codebase_id)) return 'its codebase is no longer served'
    const path = isRegistration(task) ? wantedPath(task) : undefined
    return path === undefined ? undefined : this.#parts.codebases.problemWith(path)
  }

  #passOn(task: Task, reason: string): void {
    const {client, registration, workerId, emit, signal, clock} = this.#parts
    if (!this.#dropped.has(keyOf(task))) emit({type: 'task.dropped', taskId: task.id, reason})
    remember(this.#dropped, task, clock.monotonic())
    if (registration.has('decline')) void client.decline(task.id, workerId, reason, signal).catch(() => {})
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
      codebase: this.#parts.codebases.pathOf(offered.codebase_id) ?? '',
      phase: 'claiming',
      since: this.#parts.clock.now(),
      isPortable: offered.codebase_id === globalCodebase,
      heldSince: this.#parts.clock.monotonic(),
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
    task.done = this.#see(offered, task, {lane, free})
  }

  async #see(offered: Task, task: ActiveTask, hold: {lane: Lock | undefined; free: () => void}): Promise<void> {
    const {run, emit, onFree} = this.#parts
    try {
      const isOurs = await run(offered, task, hold)
      remember(isOurs ? this.#finished : this.#dropped, task, this.#parts.clock.monotonic())
    } catch (error) {
      const text = `A bug in the worker: ${error instanceof Error ? error.stack : String(error)}`
      emit({type: 'notice', level: 'error', taskId: task.id, text})
      emit({type: 'task.dropped', taskId: task.id, reason: 'a bug in the worker'})
    }

    hold.free()
    this.#active.delete(task.id)
    this.#next()
    onFree()
  }

  #next(): void {
    for (const task of [...this.#waiting.values()]) {
      if (this.free <= 0) return
      this.#waiting.delete(task.id)
      this.offer(task, 'poll', this.#parts.clock.monotonic())
    }
  }
}

type Run = Pick<Task, 'id' | 'attempt'>

const keyOf = ({id, attempt}: Run) => `${id}/${attempt}`

/** The newest only: their number does not grow with the days. */
function remember(runs: Map<string, number>, run: Run, at: number): void {
  runs.delete(keyOf(run))
  runs.set(keyOf(run), at)
  const oldest = runs.keys().next().value
  if (runs.size > mostRemembered && oldest !== undefined) runs.delete(oldest)
}
