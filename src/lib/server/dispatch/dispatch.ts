import type {Clock} from '../../core/clock.ts'
import {pendingCodebase} from '../../protocol/routes.ts'
import {OfferBackoffs} from './offer-backoffs.ts'
import type {Hub, TaskStream} from '../streams/hub.ts'
import type {Leases} from './leases.ts'
import {Offers} from './offers.ts'
import type {Roster} from './roster.ts'
import type {PendingTask, Store, StoredTask} from '../store/store.ts'
import {fitsFrame, taskFrame} from '../streams/task-view.ts'
import {RoundRobin} from './round-robin.ts'

/** A worker that declined a task is not offered it again for this long, unless it connects or registers again. */
const declineMs = 1000
/** A worker that was made to poll for a task that cannot be pushed is not made to poll for it again for this long. */
const pollAgainMs = 60_000

type Parts = {store: Store; hub: Hub; leases: Leases; roster: Roster; clock: Clock; offerMs: number}

/**
 * Decides which worker is offered which pending task. A task is offered to one worker at a time, a working tree has one
 * task, offered or running, unless it may have more, and a worker gets no more offers than it has free slots. Offers are kept in memory. No call scans all tasks:
 * each change names the tasks or workers to consider.
 */
export class Dispatch {
  readonly #parts: Parts
  readonly offers = new Offers()
  readonly backoffs = new OfferBackoffs()
  readonly #roundRobin = new RoundRobin()
  /** Until when no worker is made to poll for a task, in monotonic ms. */
  readonly #polledFor = new Map<string, number>()
  /** Tasks that were answers to polls, and until when nobody else is offered them, in monotonic ms. */
  readonly #handedOut = new Map<string, number>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Offers the task to the best worker. Returns whether there was one. */
  offer(taskId: string): boolean {
    const [task, best] = this.#findWorker(taskId)
    if (task && best) this.#push(task, best)
    return best !== undefined
  }

  /**
   * Offers a task before it is committed, to a worker that must claim it. The claim is answered after the commit, and
   * the worker can prepare the run meanwhile. The existing worker runs what it is pushed, so it must wait.
   */
  offerEarly(taskId: string): void {
    const [task, best] = this.#findWorker(taskId)
    if (task && best && this.#parts.roster.profile(best.workerId).hasLeases) this.#push(task, best)
  }

  #findWorker(taskId: string): [StoredTask?, (TaskStream | undefined)?] {
    const task = this.#parts.store.tasks.get(taskId)
    if (task?.status !== 'pending' || this.isOffered(taskId) || this.isTreeBusy(task.codebase_id)) return []
    const streams = this.#parts.roster.streamsFor(task.codebase_id).filter((stream) => this.#mayTake(stream, task))
    const able = streams.filter(({workerId}) => this.canPush(task, workerId))
    return [task, this.#preferred(task.codebase_id, able.length > 0 ? able : streams)]
  }

  /** Withdraws offers of tasks that are not pending, for example because a commit failed. */
  withdrawVoidOffers(): void {
    for (const {taskId} of this.offers.filter(({taskId}) => this.#parts.store.tasks.get(taskId)?.status !== 'pending'))
      this.forgetTask(taskId)
  }

  /** Offers waiting tasks to the worker while it has free slots. */
  fillWorker(workerId: string): void {
    const stream = this.#parts.hub.streamOf(workerId)
    if (!stream) return
    while (this.freeSlots(workerId) > 0) {
      const next = this.#nextFor(stream)
      if (!next || !this.#push(next, stream)) return
    }
  }

  fillWorkers(): void {
    for (const {workerId} of this.#parts.hub.streams()) this.fillWorker(workerId)
  }

  /** A working tree has become free: offers the codebase's next task. */
  offerNextTask(codebaseId: string): void {
    if (this.isTreeBusy(codebaseId)) return
    let tried = 0
    for (const {id} of this.#parts.store.tasks.pendingOf(codebaseId)) if (this.offer(id) || ++tried >= 10) return
  }

  /** The task was claimed. Declines of a registration are remembered, because the claimer may decline too. */
  onClaimed({id, agent_type}: Pick<StoredTask, 'id' | 'agent_type'>): void {
    this.offers.remove(id)
    this.#polledFor.delete(id)
    this.#handedOut.delete(id)
    if (agent_type !== 'register_codebase') this.backoffs.forgetTask(id)
  }

  /** The task has ended, or was requeued. */
  forgetTask(taskId: string): void {
    this.offers.remove(taskId)
    this.#polledFor.delete(taskId)
    this.#handedOut.delete(taskId)
    this.backoffs.forgetTask(taskId)
  }

  /** The worker declines the task. It can then be offered to another. */
  decline(taskId: string, workerId: string, reason: string, {untilMs = declineMs} = {}): void {
    const until = this.#parts.clock.monotonic() + untilMs
    if (this.offers.get(taskId)?.workerId === workerId) this.offers.remove(taskId)
    this.backoffs.declined(taskId, workerId, {until, reason})
  }

  /** A stream has ended: its offers go to other workers. */
  onDisconnected(stream: TaskStream): void {
    if (!this.#parts.hub.streamOf(stream.workerId)) this.#roundRobin.forget(stream.workerId)
    const open = this.offers.filter(({connectionId}) => connectionId === stream.connectionId)
    for (const {taskId} of open) this.offers.remove(taskId)
    for (const {taskId} of open) this.offer(taskId)
  }

  /** The worker has connected or registered: what it missed or declined may be offered again. */
  onReturned(workerId: string): void {
    this.backoffs.forgetWorker(workerId)
    this.fillWorker(workerId)
  }

  /** Moves offers that were not claimed in time to other workers, and repeats those whose backoff has ended. */
  expireOffers(): void {
    const now = this.#parts.clock.monotonic()
    for (const {taskId, workerId} of this.offers.filter(({since}) => since + this.#parts.offerMs <= now)) {
      this.offers.remove(taskId)
      this.backoffs.missed(taskId, workerId, {now, firstPauseMs: this.#parts.offerMs})
      this.offer(taskId)
      this.fillWorker(workerId)
    }

    for (const [taskId, until] of this.#handedOut) {
      if (until > now) continue
      this.#handedOut.delete(taskId)
      this.offer(taskId)
    }

    for (const taskId of this.backoffs.due(now)) this.offer(taskId)
  }

  freeSlots(workerId: string): number {
    const {leases, roster} = this.#parts
    const capacity = Math.min(roster.profile(workerId).slots, leases.capacityOf(workerId))
    return capacity - leases.heldBy(workerId).size - this.offers.countFor(workerId)
  }

  isTreeBusy(codebaseId: string): boolean {
    return this.roomIn(codebaseId) <= 0
  }

  /** How many more tasks the codebase's working tree may have. A codebase without a tree has no limit. */
  roomIn(codebaseId: string): number {
    const {roster} = this.#parts
    if (roster.treeOf(codebaseId) === undefined) return Number.POSITIVE_INFINITY
    return roster.tasksPerTree(codebaseId) - this.#occupants(codebaseId).length
  }

  /** The task because of which the working tree has no room for this one. */
  blockerOf({id, codebase_id}: Pick<PendingTask, 'id' | 'codebase_id'>): string | undefined {
    const others = this.#occupants(codebase_id).filter((taskId) => taskId !== id)
    return others.length >= this.#parts.roster.tasksPerTree(codebase_id) ? others[0] : undefined
  }

  /** The tasks in the codebase's working tree, running or offered. */
  #occupants(codebaseId: string): string[] {
    const tree = this.#parts.roster.treeOf(codebaseId)
    if (tree === undefined) return []
    return [...this.#parts.leases.onTree(tree), ...this.offers.onTree(tree)].map(({taskId}) => taskId)
  }

  /** The task was an answer to a poll that did not say whose it is: for a while nobody else is offered it. */
  handOut(taskId: string): void {
    this.#handedOut.set(taskId, this.#parts.clock.monotonic() + this.#parts.offerMs)
  }

  /** Whether the task is offered to somebody, by a push or as an answer to a poll. */
  isOffered(taskId: string): boolean {
    return this.offers.get(taskId) !== undefined || this.#handedOut.has(taskId)
  }

  #mayTake({workerId, capabilities}: TaskStream, task: PendingTask): boolean {
    if (this.freeSlots(workerId) <= 0) return false
    if ((this.backoffs.get(task.id, workerId)?.until ?? 0) > this.#parts.clock.monotonic()) return false
    if (task.required?.some((wanted) => !capabilities.includes(wanted))) return false
    return this.canPush(task, workerId) || (this.#polledFor.get(task.id) ?? 0) <= this.#parts.clock.monotonic()
  }

  /** Whether a frame with this task can be sent to the worker. */
  canPush(task: Pick<PendingTask, 'frame_size'>, workerId: string): boolean {
    return fitsFrame(task) || this.#parts.roster.profile(workerId).fetches
  }

  /** The codebase's owner, or otherwise the worker with the least load. */
  #preferred(codebaseId: string, streams: TaskStream[]): TaskStream | undefined {
    if (this.#parts.roster.treeOf(codebaseId) !== undefined) return streams[0]
    if (codebaseId === pendingCodebase)
      return streams.toSorted(
        (a, b) => this.#roundRobin.lastTurn(a.workerId, codebaseId) - this.#roundRobin.lastTurn(b.workerId, codebaseId),
      )[0]
    const load = ({workerId}: TaskStream) => this.#parts.leases.heldBy(workerId).size + this.offers.countFor(workerId)
    return streams.toSorted(
      (a, b) =>
        load(a) - load(b) ||
        this.#roundRobin.lastTurn(a.workerId, codebaseId) - this.#roundRobin.lastTurn(b.workerId, codebaseId),
    )[0]
  }

  /** The most urgent of the first tasks of each codebase. Codebases with equal priority take turns. */
  #nextFor(stream: TaskStream): PendingTask | undefined {
    let best: PendingTask | undefined
    for (const codebaseId of this.#parts.roster.codebasesOf(stream.workerId)) {
      if (this.isTreeBusy(codebaseId)) continue
      for (const task of this.#parts.store.tasks.pendingOf(codebaseId)) {
        if (best && task.priority < best.priority) break
        if (this.isOffered(task.id) || !this.#mayTake(stream, task)) continue
        if (!best || this.#isBefore(task, best, stream)) best = task
        break
      }
    }

    return best
  }

  #isBefore(task: PendingTask, other: PendingTask, stream: TaskStream): boolean {
    if (task.priority !== other.priority) return task.priority > other.priority
    const difference =
      this.#roundRobin.lastTurn(stream.workerId, task.codebase_id) -
      this.#roundRobin.lastTurn(stream.workerId, other.codebase_id)
    return difference === 0 ? task.n < other.n : difference < 0
  }

  /** Returns false if the stream was closed instead. */
  #push({id, ...size}: PendingTask, stream: TaskStream): boolean {
    const {store, roster, clock} = this.#parts
    const {workerId, connectionId} = stream
    // the Python worker ignores a task id that it has seen on this stream, but polls when a stream ends
    const isSeen = !roster.profile(workerId).hasLeases && (this.backoffs.get(id, workerId)?.missed ?? 0) > 0
    if (isSeen || !this.canPush(size, workerId)) {
      this.#polledFor.set(id, clock.monotonic() + pollAgainMs)
      stream.close()
      return false
    }

    const task = store.tasks.get(id)
    if (!task) return false
    this.#roundRobin.recordTurn(workerId, task.codebase_id)
    this.offers.add({
      taskId: id,
      workerId,
      connectionId,
      tree: roster.treeOf(task.codebase_id),
      since: clock.monotonic(),
    })
    stream.send('task_available', taskFrame(task))
    return true
  }
}
