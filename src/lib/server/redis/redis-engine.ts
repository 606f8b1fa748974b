import {HttpError} from '../http/http-error.ts'
import {messageOf} from '../../core/errors.ts'
import type {Decision} from '../state/decision.ts'
import type {State} from '../state/state.ts'
import type {Engine, EngineListener, History, Step} from '../store/engine.ts'
import type {Maintenance} from '../store/maintenance.ts'
import type {SqliteStore} from '../store/sqlite-store.ts'
import type {Views} from '../store/views.ts'
import {Batches, maxBatch, settle, type Job} from './batch.ts'
import {catchUp} from './catch-up.ts'
import {start as startOfLog, type DecisionLog, type Head, type LogEntry} from './decision-log.ts'
import {type Entry, encodeEntry} from './entry.ts'
import type {RedisClock} from './redis-clock.ts'
import {DivergedError, Replica, type ReplicaOptions} from './replica.ts'

/** Events of one entry have numbers of their own. */
const numbersPerEntry = 10_000
/** How often a batch is tried again because other replicas have committed. Then it is refused. */
const maxTries = 30
/** After so many it asks for the next turn. */
const patientTries = 3
/** How long a batch waits for a Redis that has just been lost. What arrives later is refused at once. */
const patienceMs = 2000
/** How often an error of Redis is told. */
const reportMs = 10_000

export type RedisEngineOptions = ReplicaOptions & {
  log: DecisionLog
  /** Whether Redis can be asked now. */
  isConnected: () => boolean
  /** Whether it can be asked now, or was lost a moment ago and may be back soon. */
  isWorthWaiting: () => boolean
  calmUntil: () => number
  onBug: (error: unknown) => void
  /** The state of this replica is not that of the others, and cannot become it: the process must start again. */
  onDiverged: (reason: string) => void
  /** Redis has lost all: writes the state of this replica. */
  reseed: () => Promise<void>
  /** Redis answers with an error. */
  onRefused: (reason: string) => void
  /** Tells that Redis had lost this many entries, and got them back. */
  onHealed: (entries: number) => void
  /** Gets the events until somebody listens. */
  history: Pick<History, 'add'>
}

const unavailable = () =>
  new HttpError(503, 'The control plane cannot reach its Redis now; try again', {headers: {'retry-after': '1'}})
const contended = () =>
  new HttpError(503, 'Too many requests change the same state at once; try again', {headers: {'retry-after': '1'}})

/**
 * The engine of many replicas. Redis holds a log of all commits, and each replica what results from it: the same state as
 * the SQLite engine, in memory and in a database of its own. Decisions that wait are made together, against the state of
 * this replica, and appended together. If another replica was faster, this one takes them back, applies what it has
 * missed, and makes them all again, because answers and events show whole records. So every replica applies the same
 * commits in the same order.
 */
export class RedisEngine implements Engine {
  readonly views: Views
  readonly #options: RedisEngineOptions
  readonly #replica: Replica
  readonly #batches: Batches
  readonly #jobs: Job[] = []
  /** Entries that have arrived from other replicas, oldest first. */
  #arrived: LogEntry[] = []
  #reportedAt = -reportMs
  #running: Promise<void> | undefined
  #isWaking = false
  #isClosed = false
  #listener: EngineListener

  constructor(options: RedisEngineOptions, head: Head = startOfLog) {
    this.#options = options
    this.#replica = new Replica(options, head)
    this.#batches = new Batches(this.#replica)
    this.views = this.#replica.store.views
    this.#listener = {onChanges: () => {}, perform: (event, place) => place && options.history.add(event, place)}
  }

  get problem(): string | undefined {
    return this.#options.isConnected() ? undefined : 'its Redis is out of reach'
  }

  get calmUntil(): number {
    return this.#options.calmUntil()
  }

  get state(): State {
    return this.#replica.store.state
  }

  get clock(): RedisClock {
    return this.#options.clock
  }

  get store(): SqliteStore {
    return this.#replica.store
  }

  get head(): Head {
    return this.#replica.head
  }

  attach(listener: EngineListener): void {
    this.#listener = listener
  }

  execute<Answer>(step: Step<Answer>): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      if (this.#isClosed || !this.#options.isWorthWaiting()) return reject(unavailable())
      this.#jobs.push({step, resolve: resolve as Job['resolve'], reject})
      this.#wake()
    })
  }

  maintain<Result>(work: (maintenance: Maintenance) => Result): Promise<Result> {
    return this.execute((maintenance) => ({...nothing, answer: work(maintenance)}))
  }

  async fresh(): Promise<void> {
    await this.execute(() => nothing)
  }

  /**
   * Decisions are on disk when `execute` resolves. Until a commit has ended, the state shows what may be taken back: no
   * other begins in the same turn.
   */
  async durable(): Promise<void> {
    await this.#running
  }

  /** Applies entries of other replicas, if they go on from here. */
  receive(entries: readonly LogEntry[]): void {
    if (this.#isClosed) return
    this.#arrived.push(...entries)
    this.#wake()
  }

  /** Calls `look` while nothing is being committed, so that state and database are those of the head. */
  async atRest<Result>(look: () => Result): Promise<Result> {
    await this.durable()
    return look()
  }

  /** Waits for what was asked for. Later calls are refused. */
  async close(): Promise<void> {
    this.#isClosed = true
    while (this.#running || this.#jobs.length > 0) await new Promise(setImmediate)
  }

  /** Begins a commit in a turn of its own, so that all who have waited for the last one see the state without it. */
  #wake(): void {
    if (this.#isWaking) return
    this.#isWaking = true
    setImmediate(() => {
      this.#isWaking = false
      if (this.#running) return
      this.#running = this.#run().finally(() => {
        this.#running = undefined
        if (this.#jobs.length > 0 || this.#arrived.length > 0) this.#wake()
      })
    })
  }

  async #run(): Promise<void> {
    const jobs = this.#jobs.splice(0, maxBatch)
    try {
      this.#takeArrived()
      if (jobs.length > 0) await this.#commit(jobs)
    } catch (error) {
      const isDiverged = error instanceof DivergedError
      for (const job of jobs) job.reject(isDiverged ? unavailable() : error)
      if (isDiverged) this.#options.onDiverged(error.message)
    }
  }

  /** Decides and appends, until it is settled for all jobs. Those for which a commit has no room are put back. */
  async #commit(jobs: Job[]): Promise<void> {
    const {log, clock, isConnected} = this.#options
    const replica = this.#replica
    const deadline = performance.now() + patienceMs
    const last = deadline + patienceMs
    const sent = new Set<string>()
    let hasCaughtUp = false
    for (let tries = 1; tries <= maxTries && performance.now() < last;) {
      const batch = this.#batches.decide(jobs)
      this.#jobs.unshift(...jobs.splice(batch.size))
      const isEmpty = batch.changes.length === 0 && batch.events.length === 0
      // A read needs all that was acknowledged before it began. Others may append faster than it could catch up again.
      if (isEmpty && hasCaughtUp) {
        batch.keep()
        return settle(jobs)
      }
      const entry = isEmpty ? undefined : {...log.nextHead(replica.head), text: encodeEntry(batch)}
      if (entry) sent.add(entry.id)
      const sentAt = performance.now()
      try {
        const reply = await log.append(replica.head, entry, entry !== undefined && tries >= patientTries)
        clock.read(reply.now, sentAt)
        if ('committed' in reply) {
          batch.keep()
          if (entry) replica.advance(entry)
          settle(jobs)
          this.#tell(batch, true)
          return
        }

        batch.takeBack()
        if ('isTaken' in reply) await clock.sleep(1 + Math.random() * 2)
        else if (await this.#catchUp(reply.elsewhere, sent)) return settle(jobs)
        else {
          hasCaughtUp = true
          tries += 1
          if (tries > patientTries) await clock.sleep(Math.random() * 2)
        }
      } catch (error) {
        batch.takeBack()
        if (error instanceof DivergedError) throw error
        this.#report(error)
        await this.#untilConnected(deadline)
        if (!isConnected() || performance.now() > deadline) throw unavailable()
      }
    }

    throw contended()
  }

  /** Tells of an answer of Redis that is an error, now and then: it may be full, or not give the rights. */
  #report(error: unknown): void {
    if (!isAnswer(error) || performance.now() - this.#reportedAt < reportMs) return
    this.#reportedAt = performance.now()
    this.#options.onRefused(messageOf(error))
  }

  async #untilConnected(deadline: number): Promise<void> {
    const {clock, isConnected} = this.#options
    while (!isConnected() && performance.now() < deadline) await clock.sleep(20)
  }

  #catchUp(to: Head, sent: ReadonlySet<string>): Promise<boolean> {
    const {log, reseed, onHealed} = this.#options
    const apply = (entry: LogEntry) => this.#apply(entry)
    return catchUp(to, sent, {replica: this.#replica, log, apply, reseed, onHealed})
  }

  #takeArrived(): void {
    for (const entry of this.#arrived.splice(0)) {
      const {position} = this.head
      if (entry.position <= position) continue
      if (entry.position > position + 1) return // read again before the next commit
      this.#apply(entry)
    }
  }

  #apply(entry: LogEntry): void {
    this.#tell(this.#replica.apply(entry), false)
  }

  /** Tells of the entry at the head. */
  #tell({changes, at, events}: Entry, isOwn: boolean): void {
    const first = this.head.position * numbersPerEntry
    if (changes.length > 0) this.#listener.onChanges(changes)
    for (const [i, event] of events.entries()) {
      try {
        this.#listener.perform(event, {n: first + i, at, isOwn})
      } catch (error) {
        this.#options.onBug(error) // the others still happen
      }
    }
  }
}

/** Whether Redis itself has answered with this error. */
const isAnswer = (error: unknown) => error instanceof Error && 'command' in error

/** A decision that changes nothing. */
const nothing: Decision<undefined> = {answer: undefined, changes: [], events: []}
