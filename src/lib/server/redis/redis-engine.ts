import {HttpError} from '../http/http-error.ts'
import {messageOf} from '../../core/errors.ts'
import {savepointsOf} from '../../core/savepoint.ts'
import type {Database} from '../../core/sqlite.ts'
import type {Change, Decision} from '../state/decision.ts'
import type {StateEvent} from '../state/events.ts'
import type {Policy, State} from '../state/state.ts'
import type {Engine, EngineListener, Step} from '../store/engine.ts'
import type {Maintenance} from '../store/maintenance.ts'
import {SqliteStore} from '../store/sqlite-store.ts'
import type {Views} from '../store/views.ts'
import {start as startOfLog, type DecisionLog, type Head, type LogEntry} from './decision-log.ts'
import {decodeEntry, type Entry, encodeEntry, receivedChange, receivedEvent} from './entry.ts'
import type {RedisClock} from './redis-clock.ts'

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
/** Limits of the entries that are kept for a Redis that loses its last ones. */
const maxRecent = 5000
const maxRecentChars = 8 * 1024 * 1024
/** Decisions of one commit, and their size in UTF-16 units, roughly. */
const maxBatch = 200
const maxBatchChars = 1024 * 1024

export type RedisEngineOptions = {
  /** Migrated, and empty or restored from an image. Only this replica uses it. */
  database: Database
  log: DecisionLog
  /** Whether Redis can be asked now. */
  isConnected: () => boolean
  /** Whether it can be asked now, or was lost a moment ago and may be back soon. */
  isWorthWaiting: () => boolean
  policy: Policy
  clock: RedisClock
  calmUntil: () => number
  onBug: (error: unknown) => void
  /** The state of this replica is not that of the others, and cannot become it: the process must start again. */
  onDiverged: (reason: string) => void
  /** Redis has lost all: writes the state of this replica, which has applied all up to `head`. */
  reseed: (head: Head) => Promise<void>
  /** Redis answers with an error. */
  onRefused: (reason: string) => void
  /** Tells that Redis had lost this many entries, and got them back. */
  onHealed: (entries: number) => void
}

type Job = {
  step: Step<unknown>
  resolve: (answer: unknown) => void
  reject: (error: unknown) => void
  decision?: Decision | undefined
  failure?: {error: unknown} | undefined
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
  readonly #store: SqliteStore
  readonly #jobs: Job[] = []
  /** Entries that have arrived from other replicas, oldest first. */
  #arrived: LogEntry[] = []
  #head: Head
  /** The last entries, for a Redis that has lost them. */
  readonly #recent: LogEntry[] = []
  #recentChars = 0
  #reportedAt = -reportMs
  #running: Promise<void> | undefined
  #isWaking = false
  #isClosed = false
  #listener: EngineListener = {onChanges: () => {}, perform: () => {}}
  readonly #maintenance: Maintenance
  /** What maintenance of the present step has done. */
  #maintained: Change[] = []

  constructor(options: RedisEngineOptions, head: Head = startOfLog) {
    const {database, policy, clock} = options
    this.#options = options
    this.#head = head
    this.#store = new SqliteStore({database, policy, clock, write: savepointsOf(database)})
    this.#store.restore()
    this.views = this.#store.views
    this.#maintenance = recording(this.#store.maintenance, (change) => this.#maintained.push(change))
  }

  get problem(): string | undefined {
    return this.#options.isConnected() ? undefined : 'its Redis is out of reach'
  }

  get calmUntil(): number {
    return this.#options.calmUntil()
  }

  get state(): State {
    return this.#store.state
  }

  get clock(): RedisClock {
    return this.#options.clock
  }

  get store(): SqliteStore {
    return this.#store
  }

  get head(): Head {
    return this.#head
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
      for (const job of jobs) job.reject(error)
    }
  }

  /** Decides and appends, until it is settled for all jobs. */
  async #commit(jobs: Job[]): Promise<void> {
    const {log, clock, isConnected} = this.#options
    const deadline = performance.now() + patienceMs
    const last = deadline + patienceMs
    const sent = new Set<string>()
    for (let tries = 1; tries <= maxTries && performance.now() < last;) {
      const batch = this.#decide(jobs)
      const head = log.nextHead(this.#head)
      const entry = batch.changes.length > 0 ? {...head, text: encodeEntry(batch)} : undefined
      if (entry) sent.add(entry.id)
      const sentAt = performance.now()
      try {
        const reply = await log.append(this.#head, entry, entry !== undefined && tries >= patientTries)
        clock.read(reply.now, sentAt)
        if ('committed' in reply) {
          batch.keep()
          this.#head = reply.committed
          if (entry) this.#remember(entry)
          settle(jobs)
          this.#tell(batch, {position: this.#head.position, isOwn: true})
          return
        }

        batch.takeBack()
        if ('isTaken' in reply) await clock.sleep(1 + Math.random() * 2)
        else if (await this.#catchUp(reply.elsewhere, sent)) return settle(jobs)
        else if ((tries += 1) > patientTries) await clock.sleep(Math.random() * 2)
      } catch (error) {
        batch.takeBack()
        if (error instanceof BugError) throw error.cause
        this.#report(error)
        await this.#untilConnected(deadline)
        if (!isConnected() || performance.now() > deadline) throw unavailable()
      }
    }

    throw contended()
  }

  /** Tells of an answer of Redis that is an error, now and then: it may be full, or not give the rights. */
  #report(error: unknown): void {
    if (error instanceof HttpError || !isAnswer(error) || performance.now() - this.#reportedAt < reportMs) return
    this.#reportedAt = performance.now()
    this.#options.onRefused(messageOf(error))
  }

  async #untilConnected(deadline: number): Promise<void> {
    const {clock, isConnected} = this.#options
    while (!isConnected() && performance.now() < deadline) await clock.sleep(20)
  }

  /**
   * Makes the decisions of a batch on top of each other. They are applied, and can be taken back. Jobs for which the batch
   * has no room are put back.
   */
  #decide(jobs: Job[]) {
    const {database} = this.#options
    const {state} = this.#store
    const undo: (() => void)[] = []
    const changes: Change[] = []
    const events: StateEvent[] = []
    let hasMaintained = false
    database.exec('BEGIN IMMEDIATE')
    const end = (how: 'COMMIT' | 'ROLLBACK') => {
      if (database.isTransaction) database.exec(how)
    }
    const takeBack = () => {
      end('ROLLBACK')
      for (const step of undo.splice(0).toReversed()) step() // once: more may have been applied since
      if (hasMaintained) this.#store.restore()
    }
    let chars = 0
    for (const [i, job] of jobs.entries()) {
      if (chars > maxBatchChars) {
        this.#jobs.unshift(...jobs.splice(i))
        break
      }
      this.#maintained = []
      job.failure = undefined
      try {
        job.decision = job.step(this.#maintenance)
        undo.push(state.undoOf(job.decision.changes))
        this.#store.apply(job.decision.changes)
      } catch (error) {
        job.failure = {error}
        job.decision = undefined
      }

      const maintained = this.#maintained
      hasMaintained ||= maintained.length > 0
      changes.push(...maintained, ...(job.decision?.changes ?? []))
      events.push(...(job.decision?.events ?? []))
      chars += sizeOf(job.decision?.changes ?? [])
    }

    return {changes, events, at: state.now, keep: () => end('COMMIT'), takeBack}
  }

  /**
   * Applies what other replicas have appended, up to this head and perhaps further. Resolves with whether one of `sent` is
   * among it.
   */
  async #catchUp(to: Head, sent: ReadonlySet<string>): Promise<boolean> {
    const {log, onDiverged} = this.#options
    if (this.#head.position > to.position) {
      await this.#heal(to)
      return false
    }

    if (this.#head.position === to.position) {
      onDiverged(`entry ${to.position} in Redis is not the one that this replica has applied`)
      throw unavailable()
    }

    let isOurs = false
    while (this.#head.position < to.position) {
      const entries = await log.read(this.#head.position)
      const [first] = entries
      if (first?.position !== this.#head.position + 1) {
        onDiverged(`the log in Redis does not go on from entry ${this.#head.position}`)
        throw unavailable()
      }

      for (const entry of entries) {
        isOurs ||= sent.has(entry.id)
        this.#applyEntry(entry)
      }
    }

    return isOurs
  }

  /** Redis has lost its last entries, or all: it gets them back from this replica. */
  async #heal(to: Head): Promise<void> {
    const {log, reseed, onHealed, onDiverged} = this.#options
    const missing = this.#head.position - to.position
    if (to.position === 0) await reseed(this.#head)
    else {
      const entries = this.#recent.filter(({position}) => position >= to.position)
      if (entries[0]?.id !== to.id) {
        onDiverged(`Redis has lost entries: it is at ${to.position}, this replica at ${this.#head.position}`)
        throw unavailable()
      }

      for (const [i, entry] of entries.entries()) {
        const expected = entries[i - 1]
        if (expected && !('committed' in (await log.append(expected, entry)))) throw unavailable() // another replica heals
      }
    }

    onHealed(missing)
  }

  #remember(entry: LogEntry): void {
    this.#recent.push(entry)
    this.#recentChars += entry.text.length
    while (this.#recentChars > maxRecentChars || this.#recent.length > maxRecent)
      this.#recentChars -= this.#recent.shift()?.text.length ?? 0
  }

  #takeArrived(): void {
    for (const entry of this.#arrived.splice(0)) {
      if (entry.position <= this.#head.position) continue
      if (entry.position > this.#head.position + 1) return // read again before the next commit
      this.#applyEntry(entry)
    }
  }

  #applyEntry({position, id, text}: LogEntry): void {
    const {database} = this.#options
    const {state} = this.#store
    const {changes: sent, events, at} = decodeEntry(text)
    const changes: Change[] = []
    database.exec('BEGIN IMMEDIATE')
    try {
      for (const each of sent) {
        const change = receivedChange(state, each)
        if (!change) continue
        if (change.do === 'maintain') repeat(this.#store.maintenance, change)
        else this.#store.apply([change])
        changes.push(change)
      }

      database.exec('COMMIT')
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      this.#options.onDiverged(`entry ${position} cannot be applied: ${messageOf(error)}`)
      throw new BugError(error)
    }

    this.#head = {position, id}
    this.#remember({position, id, text})
    const told = events.flatMap((event) => receivedEvent(state, event, sent) ?? [])
    this.#tell({changes, at, events: told}, {position, isOwn: false})
  }

  #tell({changes, at, events}: Entry, {position, isOwn}: {position: number; isOwn: boolean}): void {
    if (changes.length > 0) this.#listener.onChanges(changes)
    for (const [i, event] of events.entries()) {
      try {
        this.#listener.perform(event, {n: position * numbersPerEntry + i, at, isOwn})
      } catch (error) {
        this.#options.onBug(error) // the others still happen
      }
    }
  }
}

/** Whether Redis itself has answered with this error. */
const isAnswer = (error: unknown) => error instanceof Error && 'command' in error

/** A failure that no repetition mends. */
class BugError extends Error {
  constructor(cause: unknown) {
    super(messageOf(cause), {cause})
  }
}

/** A decision that changes nothing. */
const nothing: Decision<undefined> = {answer: undefined, changes: [], events: [], preconditions: [], basis: -1}

/** Of what may be long. */
function sizeOf(changes: readonly Change[]): number {
  let chars = 0
  for (const change of changes) {
    if (change.do === 'append-output') chars += change.output.output.length
    else if (change.do === 'put-message') chars += change.message.data.length
    else if (change.do === 'put' && change.kind === 'task') chars += change.record.prompt.length
    else if (change.do === 'update' && change.kind === 'task') chars += change.fields.result?.length ?? 0
  }
  return chars
}

function settle(jobs: readonly Job[]): void {
  for (const {decision, failure, resolve, reject} of jobs) {
    if (failure) reject(failure.error)
    else resolve(decision?.answer)
  }
}

type Method = keyof Maintenance

/** Those that change something. */
const changing = [
  'dropOutput',
  'pruneAudit',
  'pruneTasks',
  'forgetRequests',
  'saveContacts',
] as const satisfies readonly Method[]

/** Maintenance that also tells what it did, so that other replicas repeat it on the same state. */
function recording(maintenance: Maintenance, record: (change: Change) => void): Maintenance {
  const recorded = changing.map((method) => {
    const call = (...args: unknown[]) => {
      record({do: 'maintain', method, args})
      return (maintenance[method] as (...all: unknown[]) => unknown)(...args)
    }
    return [method, call]
  })
  return {...maintenance, ...(Object.fromEntries(recorded) as Pick<Maintenance, (typeof changing)[number]>)}
}

function repeat(maintenance: Maintenance, {method, args}: Extract<Change, {do: 'maintain'}>): void {
  const known = changing.find((name) => name === method)
  if (!known) throw new Error(`there is no maintenance called ${method}`)
  ;(maintenance[known] as (...all: unknown[]) => unknown)(...args)
}
