import {randomUUID} from 'node:crypto'
import {isoTime, type Clock} from '../core/clock.ts'
import {pendingCodebase} from '../protocol/routes.ts'
import {isFinal, type CreateTask, type FinalStatus, type Heartbeat, type StatusUpdate} from '../protocol/schemas.ts'
import type {Database} from '../core/database.ts'
import {Dispatcher} from './dispatcher.ts'
import {Followers} from './followers.ts'
import {Hub, type Connection} from './hub.ts'
import {OutputStore, type Batch} from './output-store.ts'
import {conflict, notFound} from './refusal.ts'
import {isMovable, Runs} from './runs.ts'
import {Store, type StoredTask} from './store.ts'
import {decide} from './task-rules.ts'

export type Timings = {
  keepAliveMs: number
  leaseMs: number
  offerMs: number
  silentWorkerMs: number
  lostTimeoutMs: number
}

/** Who asked for a task to be cancelled, where nobody says. */
const onRequest = 'cancelled on request'

/** The rules of the control plane: what happens to a task, and who is told. Routes only translate. */
export class Plane implements Disposable {
  readonly store: Store
  readonly output: OutputStore
  readonly hub: Hub
  readonly runs = new Runs()
  readonly dispatcher: Dispatcher
  readonly followers = new Followers()
  readonly timings: Timings
  readonly #db: Database
  readonly #clock: Clock
  readonly #leaseTimer: NodeJS.Timeout
  /** Workers that do not have the path of a registration task. */
  readonly #without = new Map<string, Set<string>>()

  constructor(db: Database, clock: Clock, timings: Timings) {
    this.#db = db
    this.#clock = clock
    this.timings = timings
    this.store = new Store(db)
    this.output = new OutputStore(db)
    this.hub = new Hub(clock, timings.keepAliveMs, {
      opened: (connection) => this.#opened(connection),
      closed: (connection) => this.dispatcher.closed(connection),
    })
    this.dispatcher = new Dispatcher({
      store: this.store,
      runs: this.runs,
      hub: this.hub,
      clock,
      offerMs: timings.offerMs,
    })
    for (const task of this.store.runningTasks()) this.#hold(task, task.worker_id ?? '')
    this.#leaseTimer = setInterval(() => this.checkLeases(), Math.max(20, Math.min(1000, timings.leaseMs / 4)))
    this.#leaseTimer.unref()
  }

  now(): string {
    return isoTime(this.#clock.now())
  }

  committed(): Promise<void> {
    return this.#db.committed()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#leaseTimer)
    this.dispatcher.close()
    this.hub.closeAll()
    this.followers.closeAll()
  }

  task(id: string): StoredTask {
    const task = this.store.task(id)
    if (!task) throw notFound('Task')
    return task
  }

  // -------------------------------------------------------------------------------------------------- create

  /** Stores a task and, once it is on disk, offers it. The same key gives the same task. */
  async create(codebaseId: string, task: CreateTask, key?: string): Promise<StoredTask> {
    const known = key === undefined ? undefined : this.store.taskOfKey(key)
    if (known !== undefined) return this.task(known)
    const id = randomUUID()
    const metadata = task.metadata ?? {}
    const model = task.model ?? (typeof metadata['model'] === 'string' ? metadata['model'] : null)
    const fields = {
      title: task.title,
      prompt: task.prompt,
      agent_type: task.agent_type ?? 'build',
      priority: task.priority ?? 0,
    }
    this.store.insertTask({id, codebase_id: codebaseId, ...fields, model, metadata}, this.now())
    if (key !== undefined) this.store.keepKey(key, id, this.#clock.now())
    this.store.touchCodebase(codebaseId, this.now())
    await this.committed()
    this.dispatcher.added(codebaseId)
    return this.task(id)
  }

  // -------------------------------------------------------------------------------------------------- claims

  /** Makes the worker the holder, or answers again where it is already. Throws Refusal 404, 409. */
  async claim(taskId: string, workerId: string): Promise<StoredTask> {
    const task = this.task(taskId)
    if (task.status === 'running' && task.worker_id === workerId) return task
    if (task.status === 'running') throw conflict(`Task ${taskId} already claimed by another worker`)
    if (isFinal(task.status)) throw conflict(`Task ${taskId} is already ${task.status}`)
    const offer = this.dispatcher.offerOf(taskId)
    if (offer && offer.workerId !== workerId) throw conflict(`Task ${taskId} is offered to another worker`)
    const tree = this.dispatcher.treeOfTask(task)
    const busy = tree === undefined ? undefined : this.runs.inTree(tree)
    if (busy) throw conflict(`Task ${taskId} has to wait: task ${busy.taskId} runs in its working tree`)
    const now = this.now()
    this.store.changeTask(taskId, {
      status: 'running',
      worker_id: workerId,
      started_at: task.started_at ?? now,
      updated_at: now,
      lost_since: null,
    })
    const claimed = this.task(taskId)
    this.#hold(claimed, workerId)
    this.dispatcher.settled(taskId)
    await this.committed()
    return claimed
  }

  decline(taskId: string, workerId: string): void {
    this.dispatcher.declined(taskId, workerId)
  }

  // ------------------------------------------------------------------------------------------------- reports

  /** Applies a report of a worker (or of a client that cancels). Throws Refusal 400, 404, 409. */
  async report(taskId: string, update: StatusUpdate): Promise<StoredTask> {
    const task = this.task(taskId)
    const move = decide(task, update)
    switch (move.type) {
      case 'claim':
        await this.claim(taskId, update.worker_id)
        this.#note(taskId, update)
        break
      case 'note':
        this.#note(taskId, update)
        this.#renew(taskId)
        break
      case 'finish':
        if (move.status === 'failed' && this.#declinesPath(task, update)) break
        this.#finish(task, move.status, update)
        break
      case 'cancel':
        this.#cancel(task, onRequest)
        break
      case 'requeue':
        this.#requeue(task)
        break
      case 'nothing':
        break
    }

    await this.#settle()
    return this.task(taskId)
  }

  /** Cancels a waiting task at once and asks the holder of a running one. Throws Refusal 404, 409 (already final). */
  async cancel(taskId: string): Promise<StoredTask> {
    const task = this.task(taskId)
    if (isFinal(task.status)) throw conflict(`Cannot cancel task: it is already ${task.status}`)
    this.#cancel(task, onRequest)
    await this.#settle()
    return this.task(taskId)
  }

  /** Stores a batch of output of the present attempt's holder. Throws Refusal 404, 409 (with `next` for a gap). */
  async append(batch: Omit<Batch, 'attempt'> & {attempt: number | null}): Promise<number> {
    const task = this.task(batch.taskId)
    if (task.status !== 'running' || task.worker_id !== batch.workerId)
      throw conflict(
        `Task ${task.id} is ${task.status}${task.worker_id ? `, held by worker ${task.worker_id}` : ''}: output refused`,
      )
    if (batch.attempt !== null && batch.attempt !== task.attempt)
      throw conflict(`Attempt ${batch.attempt} of task ${task.id} is over; it is at attempt ${task.attempt}`)
    const result = this.output.append({...batch, attempt: task.attempt}, this.now())
    if ('conflict' in result) throw conflict(result.detail, {next: result.next})
    this.#renew(batch.taskId)
    await this.committed()
    if (result.stored) this.followers.wake(batch.taskId)
    return result.next
  }

  // ------------------------------------------------------------------------------------------------- workers

  /** A worker is there: what it listed is renewed, what it lost is put back. */
  async heartbeat(workerId: string, {running}: Heartbeat): Promise<void> {
    const now = this.#clock.monotonic()
    this.store.touchWorker(workerId, this.now())
    if (running) {
      const before = this.runs.sync(workerId, now)
      const listed = new Map(running.map(({id, attempt}) => [id, attempt]))
      for (const run of this.runs.of(workerId)) {
        if (listed.get(run.taskId) === run.attempt) this.#renew(run.taskId)
        else if (before !== undefined && run.claimedAt < before) this.#requeue(this.task(run.taskId))
      }
    } else for (const run of this.runs.of(workerId)) this.#renew(run.taskId)
    await this.#settle()
  }

  /** A worker registered. One without leases that had been given up starts over: its tasks are put back. */
  registered(workerId: string, leases: boolean): void {
    this.runs.sync(workerId, this.#clock.monotonic())
    if (!leases) for (const run of this.runs.of(workerId)) if (run.lost) this.#requeue(this.task(run.taskId))
  }

  /** Ends leases that ran out and runs that stayed lost for too long. */
  checkLeases(): void {
    const now = this.#clock.monotonic()
    for (const run of this.runs.all()) {
      if (run.deadline > now) continue
      const task = this.task(run.taskId)
      if (task.cancel_requested_at)
        this.#finish(task, 'cancelled', {error: 'cancelled; its worker did not answer any more'})
      else if (run.movable) this.#requeue(task)
      else if (run.lost)
        this.#finish(task, 'failed', {error: `worker lost: no sign of ${run.workerId} since ${task.lost_since}`})
      else {
        run.lost = true
        run.deadline = now + this.timings.lostTimeoutMs
        this.store.changeTask(task.id, {lost_since: this.now(), updated_at: this.now()})
      }
    }

    void this.#settle()
  }

  // -------------------------------------------------------------------------------------------------- inside

  #opened(connection: Connection): void {
    for (const run of this.runs.of(connection.workerId)) {
      const task = this.task(run.taskId)
      if (task.cancel_requested_at) this.#pushCancel(task, onRequest)
    }

    this.dispatcher.welcome(connection.workerId)
  }

  #leaseMs(workerId: string): number {
    return this.store.worker(workerId)?.features?.includes('lease') ? this.timings.leaseMs : this.timings.silentWorkerMs
  }

  #hold(task: StoredTask, workerId: string): void {
    const now = this.#clock.monotonic()
    const tree = this.dispatcher.treeOfTask(task)
    const lease = {claimedAt: now, deadline: now + this.#leaseMs(workerId), lost: false}
    this.runs.add({taskId: task.id, attempt: task.attempt, workerId, tree, movable: isMovable(task), ...lease})
  }

  #renew(taskId: string): void {
    const run = this.runs.get(taskId)
    if (!run) return
    run.deadline = this.#clock.monotonic() + this.#leaseMs(run.workerId)
    if (run.lost) this.store.changeTask(taskId, {lost_since: null})
    run.lost = false
  }

  #note(taskId: string, {session_id: sessionId}: StatusUpdate): void {
    if (sessionId) this.store.changeTask(taskId, {session_id: sessionId, updated_at: this.now()})
  }

  #finish(task: StoredTask, status: FinalStatus, report: Partial<StatusUpdate>): void {
    const now = this.now()
    this.store.changeTask(task.id, {
      status,
      completed_at: now,
      updated_at: now,
      lost_since: null,
      ...(report.worker_id && task.worker_id === null ? {worker_id: report.worker_id} : {}),
      ...(report.session_id ? {session_id: report.session_id} : {}),
      ...(report.result ? {result: report.result} : {}),
      ...(report.error ? {error: report.error} : {}),
      ...(report.usage ? {usage: report.usage as NonNullable<StoredTask['usage']>} : {}),
    })
    if (status === 'completed' && task.worker_id) this.store.countCompleted(task.worker_id)
    this.#letGo(task.id)
  }

  #requeue(task: StoredTask): void {
    this.#letGo(task.id)
    if (task.cancel_requested_at) return this.#finish(task, 'cancelled', {})
    const change = {status: 'pending', worker_id: null, attempt: task.attempt + 1, lost_since: null} as const
    this.store.changeTask(task.id, {...change, updated_at: this.now()})
    this.#added.add(task.codebase_id)
  }

  #cancel(task: StoredTask, reason: string): void {
    if (task.status === 'pending') return this.#finish(task, 'cancelled', {})
    if (!task.cancel_requested_at)
      this.store.changeTask(task.id, {cancel_requested_at: this.now(), updated_at: this.now()})
    this.#pushCancel(task, reason)
  }

  #pushCancel(task: StoredTask, reason: string): void {
    const {id, codebase_id, attempt, worker_id: holder} = task
    this.hub.get(holder ?? '')?.send('task_cancelled', {id, task_id: id, codebase_id, attempt, reason})
  }

  /** A worker without the path of a registration task passes it on; it fails when no connected worker is left. */
  #declinesPath(task: StoredTask, report: StatusUpdate): boolean {
    if (task.codebase_id !== pendingCodebase || !report.error?.startsWith('Path does not exist on this worker'))
      return false
    const without = this.#without.get(task.id) ?? new Set()
    this.#without.set(task.id, without.add(report.worker_id))
    if (this.hub.all().every(({workerId}) => without.has(workerId))) {
      this.#without.delete(task.id)
      return false
    }

    if (task.status === 'running') this.#requeue(task)
    this.dispatcher.declined(task.id, report.worker_id, 3_600_000)
    return true
  }

  #letGo(taskId: string): void {
    this.runs.remove(taskId)
    this.dispatcher.settled(taskId)
  }

  readonly #added = new Set<string>()

  /** After the commit: what became free or pending is offered, and readers of what ended are told. */
  async #settle(): Promise<void> {
    const added = [...this.#added]
    this.#added.clear()
    await this.committed()
    for (const codebaseId of added) this.dispatcher.added(codebaseId)
    this.dispatcher.run()
    this.followers.wakeAll()
  }
}
