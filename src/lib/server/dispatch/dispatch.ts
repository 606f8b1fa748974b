import type {Clock} from '../../core/clock.ts'
import {limits} from '../../protocol/limits.ts'
import {pendingCodebase} from '../../protocol/routes.ts'
import {Holdoffs} from './offer-backoffs.ts'
import type {Hub, TaskStream} from '../streams/hub.ts'
import type {Leases} from './leases.ts'
import {Offers} from './offers.ts'
import type {Roster} from './roster.ts'
import type {PendingTask, Store, StoredTask} from '../store/store.ts'
import {taskFrame} from '../streams/task-view.ts'
import {Turns} from './round-robin.ts'

/** A worker that declined a task is not asked again for this long, unless it connects or registers anew. */
const declineMs = 1000

type Parts = {store: Store; hub: Hub; leases: Leases; roster: Roster; clock: Clock; offerMs: number}

/**
 * Decides which worker is offered which pending task: one offer to one worker, one a working tree, never more than
 * a worker has free slots. Offers live in memory. Nothing here scans all tasks: what has changed says what to look at.
 */
export class Dispatch {
  readonly #parts: Parts
  readonly offers = new Offers()
  readonly holdoffs = new Holdoffs()
  readonly #turns = new Turns()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Looks for a worker for this task. True if it was offered. */
  offer(taskId: string): boolean {
    const [task, best] = this.#placeFor(taskId)
    if (task && best) this.#push(task, best)
    return best !== undefined
  }

  /**
   * Offers a task before it is committed, to a worker that claims: its claim is answered after the commit, and what
   * takes time on its side is done meanwhile. The existing worker runs what it hears of, so it hears of it later.
   */
  offerEarly(taskId: string): void {
    const [task, best] = this.#placeFor(taskId)
    if (task && best && this.#parts.roster.profile(best.workerId).hasLeases) this.#push(task, best)
  }

  #placeFor(taskId: string): [StoredTask?, (TaskStream | undefined)?] {
    const task = this.#parts.store.tasks.get(taskId)
    if (!task || task.status !== 'pending' || this.offers.get(taskId) || this.isTreeBusy(task.codebase_id)) return []
    const streams = this.#parts.roster.streamsFor(task.codebase_id).filter((stream) => this.#mayTake(stream, task))
    return [task, this.#preferred(task.codebase_id, streams)]
  }

  /** Offers of tasks that are not pending any more, or never were because a commit failed. */
  forgetVoid(): void {
    for (const {taskId} of this.offers.where(({taskId}) => this.#parts.store.tasks.get(taskId)?.status !== 'pending'))
      this.settle(taskId)
  }

  /** Offers the worker what waits for it, as long as it has room. */
  fill(workerId: string): void {
    const stream = this.#parts.hub.streamOf(workerId)
    if (!stream) return
    while (this.freeSlots(workerId) > 0) {
      const next = this.#nextFor(stream)
      if (!next || !this.#push(next, stream)) return
    }
  }

  fillAll(): void {
    for (const {workerId} of this.#parts.hub.streams()) this.fill(workerId)
  }

  /** A working tree has become free: whoever serves the codebase may have its next task. */
  offerNextOf(codebaseId: string): void {
    if (this.isTreeBusy(codebaseId)) return
    let looked = 0
    for (const {id} of this.#parts.store.tasks.pendingOf(codebaseId)) if (this.offer(id) || ++looked >= 10) return
  }

  /** The task was claimed. Who lacked the path of a registration is remembered: the next one may lack it too. */
  taken({id, agent_type}: Pick<StoredTask, 'id' | 'agent_type'>): void {
    this.offers.remove(id)
    if (agent_type !== 'register_codebase') this.holdoffs.forgetTask(id)
  }

  /** The task has ended, or is pending anew. */
  settle(taskId: string): void {
    this.offers.remove(taskId)
    this.holdoffs.forgetTask(taskId)
  }

  /** The worker gives the task back at once; the next one gets it. */
  decline(taskId: string, workerId: string, reason: string, {untilMs = declineMs} = {}): void {
    const until = this.#parts.clock.monotonic() + untilMs
    if (this.offers.get(taskId)?.workerId === workerId) this.offers.remove(taskId)
    this.holdoffs.declined(taskId, workerId, {until, reason})
  }

  /** What was offered on a stream that has ended goes to others. */
  disconnected(stream: TaskStream): void {
    if (!this.#parts.hub.streamOf(stream.workerId)) this.#turns.forget(stream.workerId)
    const open = this.offers.where(({connectionId}) => connectionId === stream.connectionId)
    for (const {taskId} of open) this.offers.remove(taskId)
    for (const {taskId} of open) this.offer(taskId)
  }

  /** The worker has connected or registered: whatever it let pass or declined before is open again. */
  returned(workerId: string): void {
    this.holdoffs.forgetWorker(workerId)
    this.fill(workerId)
  }

  /** Moves offers on that were not taken in time, and repeats those whose pause is over. */
  sweep(): void {
    const now = this.#parts.clock.monotonic()
    for (const {taskId, workerId} of this.offers.where(({since}) => since + this.#parts.offerMs <= now)) {
      this.offers.remove(taskId)
      this.holdoffs.missed(taskId, workerId, {now, firstPauseMs: this.#parts.offerMs})
      this.offer(taskId)
      this.fill(workerId)
    }

    for (const taskId of this.holdoffs.due(now)) this.offer(taskId)
  }

  freeSlots(workerId: string): number {
    const {leases, roster} = this.#parts
    const capacity = Math.min(roster.profile(workerId).slots, leases.capacityOf(workerId))
    return capacity - leases.heldBy(workerId).size - this.offers.countFor(workerId)
  }

  isTreeBusy(codebaseId: string): boolean {
    return this.occupantOf(codebaseId) !== undefined
  }

  /** The task that keeps a codebase's working tree busy, running or offered. */
  occupantOf(codebaseId: string): string | undefined {
    const tree = this.#parts.roster.treeOf(codebaseId)
    return tree && (this.#parts.leases.holderOfTree(tree) ?? this.offers.ofTree(tree))?.taskId
  }

  #mayTake({workerId, capabilities}: TaskStream, task: PendingTask): boolean {
    if (this.freeSlots(workerId) <= 0) return false
    if ((this.holdoffs.get(task.id, workerId)?.until ?? 0) > this.#parts.clock.monotonic()) return false
    if (task.required?.some((wanted) => !capabilities.includes(wanted))) return false
    return task.frame_size <= limits.frame || this.#parts.roster.profile(workerId).fetches
  }

  /** The codebase's owner, who comes first, and else the one with the most room. */
  #preferred(codebaseId: string, streams: TaskStream[]): TaskStream | undefined {
    if (this.#parts.roster.treeOf(codebaseId) !== undefined) return streams[0]
    if (codebaseId === pendingCodebase)
      return streams.toSorted(
        (a, b) => this.#turns.last(a.workerId, codebaseId) - this.#turns.last(b.workerId, codebaseId),
      )[0]
    const load = ({workerId}: TaskStream) => this.#parts.leases.heldBy(workerId).size + this.offers.countFor(workerId)
    return streams.toSorted(
      (a, b) =>
        load(a) - load(b) || this.#turns.last(a.workerId, codebaseId) - this.#turns.last(b.workerId, codebaseId),
    )[0]
  }

  /** The head of each codebase's queue, and of these the most urgent; equals take turns by codebase. */
  #nextFor(stream: TaskStream): PendingTask | undefined {
    let best: PendingTask | undefined
    for (const codebaseId of this.#parts.roster.codebasesOf(stream.workerId)) {
      if (this.isTreeBusy(codebaseId)) continue
      for (const task of this.#parts.store.tasks.pendingOf(codebaseId)) {
        if (best && task.priority < best.priority) break
        if (this.offers.get(task.id) || !this.#mayTake(stream, task)) continue
        if (!best || this.#isBefore(task, best, stream)) best = task
        break
      }
    }

    return best
  }

  #isBefore(task: PendingTask, other: PendingTask, stream: TaskStream): boolean {
    if (task.priority !== other.priority) return task.priority > other.priority
    const turns =
      this.#turns.last(stream.workerId, task.codebase_id) - this.#turns.last(stream.workerId, other.codebase_id)
    return turns === 0 ? task.n < other.n : turns < 0
  }

  /** False when the stream was ended instead. */
  #push({id}: PendingTask, stream: TaskStream): boolean {
    const {store, roster, clock} = this.#parts
    const {workerId, connectionId} = stream
    // the Python worker drops an id that it has seen on a stream, but not one that it polls, as it does at each end
    if (!roster.profile(workerId).hasLeases && (this.holdoffs.get(id, workerId)?.missed ?? 0) > 0) {
      stream.close()
      return false
    }

    const task = store.tasks.get(id)
    if (!task) return false
    this.#turns.take(workerId, task.codebase_id)
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
