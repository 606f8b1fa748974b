import type {Clock} from '../core/clock.ts'
import {limits} from '../protocol/limits.ts'
import {globalCodebase, pendingCodebase} from '../protocol/routes.ts'
import type {Connection, Hub} from './hub.ts'
import type {Runs} from './runs.ts'
import type {Store, StoredCodebase, StoredTask, StoredWorker} from './store.ts'

export type Offer = {
  task: StoredTask
  workerId: string
  connectionId: string
  tree: string | undefined
  timer: NodeJS.Timeout
}

type Parts = {store: Store; runs: Runs; hub: Hub; clock: Clock; offerMs: number}

/** Slots of a worker that does not say how many it has: the existing one has two. */
const defaultSlots = 2
/** How many tasks of a pseudo-codebase are looked at in one go. */
const window = 50
/** First pause after a worker declined; it doubles each time. */
const declinePause = 1000
/** How long a task is left to a worker that can only poll for it. */
const pollPause = 30_000
const mostPause = 60_000

/** Key of a working tree: two codebases of one tree on one machine never run at once. */
export const treeOf = (codebase: StoredCodebase | undefined): string | undefined =>
  codebase && `${codebase.worker_id}\0${codebase.tree ?? codebase.path}`

/**
 * Chooses who gets which pending task: one offer to one worker, at most one outstanding or running task a working
 * tree, never more than a worker's free slots, by priority, and among equals the codebase that waited longest. Offers
 * live in memory only; the claim is what counts.
 */
export class Dispatcher {
  readonly #parts: Parts
  readonly #offers = new Map<string, Offer>()
  /** Codebases with pending tasks, each with the turn of its last offer. */
  readonly #waiting = new Map<string, number>()
  /** Until when a worker is not asked again for a task: `task\0worker`. */
  readonly #pauses = new Map<string, {until: number; ms: number}>()
  /** Ids that were pushed to workers that remember each id for ever. */
  readonly #pushed = new Set<string>()
  #turn = 0
  #retry: NodeJS.Timeout | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    for (const id of parts.store.pendingCodebases()) this.#waiting.set(id, 0)
  }

  offerOf(taskId: string): Offer | undefined {
    return this.#offers.get(taskId)
  }

  /** A task became pending. Call after its commit. */
  added(codebaseId: string): void {
    if (!this.#waiting.has(codebaseId)) this.#waiting.set(codebaseId, 0)
    this.run()
  }

  /** The task is no longer to be had: claimed, cancelled, failed. */
  settled(taskId: string): void {
    const offer = this.#offers.get(taskId)
    if (!offer) return
    clearTimeout(offer.timer)
    this.#offers.delete(taskId)
  }

  /** The worker cannot take it now; the next one is asked at once. */
  declined(taskId: string, workerId: string, pauseMs = declinePause): void {
    const offer = this.#offers.get(taskId)
    if (offer && offer.workerId !== workerId) return
    this.settled(taskId)
    this.#pause(taskId, workerId, pauseMs)
    this.run()
  }

  /** A worker registered or connected: whatever it declined before is open to it again. */
  welcome(workerId: string): void {
    for (const key of this.#pauses.keys()) if (key.endsWith(`\0${workerId}`)) this.#pauses.delete(key)
    this.run()
  }

  /** A stream ended: what it was offered is offered to others at once. */
  closed(connection: Connection): void {
    for (const offer of this.#offers.values()) if (offer.connectionId === connection.id) this.settled(offer.task.id)
    this.run()
  }

  close(): void {
    clearTimeout(this.#retry)
    for (const {timer} of this.#offers.values()) clearTimeout(timer)
    this.#offers.clear()
  }

  /** Makes every offer that can be made now. */
  run(): void {
    if (this.#waiting.size === 0) return
    const choices = [...this.#waiting.entries()]
      .flatMap(([codebaseId, turn]) => this.#open(codebaseId).map((task) => ({task, turn})))
      .sort((a, b) => b.task.priority - a.task.priority || a.turn - b.turn || a.task.seq - b.task.seq)
    for (const {task} of choices) {
      const tree = this.treeOfTask(task)
      if (tree !== undefined && this.#isBusy(tree)) continue
      const connection = this.#choose(task)
      if (connection) this.#offer(task, connection, tree)
    }
  }

  treeOfTask(task: StoredTask): string | undefined {
    return treeOf(this.#parts.store.codebase(task.codebase_id))
  }

  /** May a task be shown to a worker that polls: not offered to another, its tree free? */
  isPollable(task: StoredTask, workerId?: string): boolean {
    const offer = this.#offers.get(task.id)
    if (offer) return workerId !== undefined && offer.workerId === workerId
    const tree = this.treeOfTask(task)
    return tree === undefined || !this.#isBusy(tree)
  }

  /** Could this worker be given this task at all? */
  suits(task: StoredTask, worker: StoredWorker, codebases?: ReadonlySet<string>): boolean {
    if (task.codebase_id === pendingCodebase) return true
    if (task.codebase_id === globalCodebase) return true
    return (
      codebases?.has(task.codebase_id) || this.#parts.store.codebase(task.codebase_id)?.worker_id === worker.worker_id
    )
  }

  /** Why a pending task is not running yet, in words. */
  reason(task: StoredTask): string | null {
    const {store, hub, runs} = this.#parts
    const offer = this.#offers.get(task.id)
    if (offer) return `offered to worker ${offer.workerId}`
    const codebase = store.codebase(task.codebase_id)
    const tree = treeOf(codebase)
    const busy = tree === undefined ? undefined : (runs.inTree(tree)?.taskId ?? this.#offeredIn(tree)?.task.id)
    if (busy !== undefined) return `the working tree is busy with task ${busy}`
    if (!codebase) return hub.all().length === 0 ? 'no worker is connected' : 'no connected worker can take it now'
    const worker = store.worker(codebase.worker_id)
    if (!worker) return 'no worker serves this codebase'
    if (!hub.get(worker.worker_id)) return `worker ${worker.name} is not connected (last seen ${worker.last_seen})`
    if (this.#free(worker) <= 0) return `worker ${worker.name} has no free slot`
    return `worker ${worker.name} cannot take it now`
  }

  /** The pending tasks of a codebase that may be offered now: of a real one only the first, as its tree runs one. */
  #open(codebaseId: string): StoredTask[] {
    const {store} = this.#parts
    const pseudo = codebaseId === globalCodebase || codebaseId === pendingCodebase
    const tasks = store.pendingOf(codebaseId, pseudo ? window : 1)
    if (tasks.length === 0) this.#waiting.delete(codebaseId)
    return tasks.filter((task) => !this.#offers.has(task.id))
  }

  #isBusy(tree: string): boolean {
    return this.#parts.runs.inTree(tree) !== undefined || this.#offeredIn(tree) !== undefined
  }

  #offeredIn(tree: string): Offer | undefined {
    for (const offer of this.#offers.values()) if (offer.tree === tree) return offer
    return undefined
  }

  #free(worker: StoredWorker): number {
    const slots = worker.max_concurrent_tasks ?? defaultSlots
    const offered = [...this.#offers.values()].filter((offer) => offer.workerId === worker.worker_id).length
    return slots - this.#parts.runs.of(worker.worker_id).length - offered
  }

  #choose(task: StoredTask): Connection | undefined {
    const {store, hub} = this.#parts
    const now = this.#parts.clock.monotonic()
    const required = task.metadata['required_capabilities']
    const free = hub.all().flatMap((connection) => {
      const worker = store.worker(connection.workerId)
      const paused = (this.#pauses.get(`${task.id}\0${connection.workerId}`)?.until ?? 0) > now
      if (!worker || paused || !this.suits(task, worker, connection.codebases)) return []
      if (Array.isArray(required) && !required.every((name) => connection.capabilities.has(String(name)))) return []
      const slots = this.#free(worker)
      return slots > 0 ? [{connection, worker, slots}] : []
    })
    const owner = store.codebase(task.codebase_id)?.worker_id
    const owned = free.find(({worker}) => worker.worker_id === owner)
    if (owned) return owned.connection
    const global = free.filter(({worker}) => worker.global_codebase_id !== null)
    const pool = task.codebase_id === globalCodebase && global.length > 0 ? global : free
    return pool.sort((a, b) => b.slots - a.slots)[0]?.connection
  }

  #offer(task: StoredTask, connection: Connection, tree: string | undefined): void {
    const frame = this.#frame(task, connection)
    if (!frame) return
    this.#turn += 1
    this.#waiting.set(task.codebase_id, this.#turn)
    const timer = setTimeout(() => this.#ignored(task.id, connection.workerId), this.#parts.offerMs)
    this.#offers.set(task.id, {task, workerId: connection.workerId, connectionId: connection.id, tree, timer})
    connection.send('task_available', frame)
  }

  /** The whole task; without its prompt where it is long and the worker reads it anyway; none for one that cannot. */
  #frame(task: StoredTask, connection: Connection): Record<string, unknown> | undefined {
    const {seq: _, ...wire} = task
    const worker = this.#parts.store.worker(connection.workerId)
    const key = `${task.id}\0${connection.workerId}`
    if (worker?.features?.includes('fetch')) {
      const short = Buffer.byteLength(task.prompt) * 2 < limits.frame
      return {...wire, task_id: task.id, ...(short ? {description: task.prompt} : {prompt: undefined})}
    }

    const full = {...wire, task_id: task.id, description: task.prompt}
    // The existing worker ignores an id it has seen, but polls at once, without that check, when its stream ends.
    const unheard = this.#pushed.has(key)
    if (unheard || Buffer.byteLength(JSON.stringify(full)) > limits.frame) {
      this.#pause(task.id, connection.workerId, pollPause)
      connection.close()
      return undefined
    }

    if (this.#pushed.size > 10_000) this.#pushed.clear()
    this.#pushed.add(key)
    return full
  }

  #ignored(taskId: string, workerId: string): void {
    this.settled(taskId)
    this.#pause(taskId, workerId, this.#parts.offerMs)
    this.run()
  }

  /** A pause doubles each time, so that a worker that never answers is not asked all the time. */
  #pause(taskId: string, workerId: string, firstMs: number): void {
    const key = `${taskId}\0${workerId}`
    const before = this.#pauses.get(key)
    const ms = Math.min(before ? before.ms * 2 : firstMs, mostPause)
    if (this.#pauses.size > 10_000) this.#pauses.clear()
    this.#pauses.set(key, {until: this.#parts.clock.monotonic() + ms, ms})
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.run(), ms + 5)
  }
}
