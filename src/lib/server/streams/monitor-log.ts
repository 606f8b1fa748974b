import type {Clock} from '../../core/clock.ts'
import {isoTime} from '../../core/clock.ts'
import type {MonitorMessage} from '../../protocol/monitor-schemas.ts'
import type {StateEvent} from '../state/events.ts'
import type {Activity} from './activity.ts'
import {describeActivity, isActivity, toolCallsIn} from './activity.ts'

/** Limits of the log: number of messages, and total characters. */
const maxMessages = 10_000
const maxChars = 8 * 1024 * 1024
/** Approximate size of a message without its text, in characters. */
const overhead = 500
/** Activities are turned into messages in batches, after this delay, so that requests need not wait. */
const batchMs = 100
const maxWaiting = 1000
/** Limit on counted workers. The Python worker has a new id after each start. */
const maxAgents = 10_000

export type Entry = {n: number; message: MonitorMessage}
/** The number of a message, and its time in Unix ms. */
type Place = {n: number; at: number}
type Waiting = {n: number | undefined; at: number; activity: Activity; isPast?: boolean}
type Counted = {
  messages: number
  toolCalls: number
  errors: number
  tokens: number
  /** Number of tasks that ran and ended, and their total duration. */
  ended: number
  totalMs: number
  interventions: number
}
export type AgentActivity = {messages: number; lastSeen: string}
type Saved = {entries: Entry[]; last: number; counted: Counted; agents: [string, AgentActivity][]}

/**
 * The monitoring log: in memory, and bounded. It is lost when the process ends, unless others share its state. Recording costs an array push. Messages are made
 * a moment later, in batches.
 */
export class MonitorLog {
  readonly #clock: Clock
  readonly #onActivity: (activity: Activity) => void
  #waiting: Waiting[] = []
  #timer: NodeJS.Timeout | undefined
  #entries: Entry[] = []
  #chars = 0
  // ids grow across restarts as well
  #last: number
  readonly #listeners = new Set<() => void>()
  #agents = new Map<string, AgentActivity>()
  #counted: Counted = {messages: 0, toolCalls: 0, errors: 0, tokens: 0, ended: 0, totalMs: 0, interventions: 0}

  /** `onActivity` gets each activity a moment after it was recorded. */
  constructor(clock: Clock, onActivity: (activity: Activity) => void = () => {}) {
    this.#clock = clock
    this.#onActivity = onActivity
    this.#last = clock.now() * 1000
  }

  /** `place`: where several processes record the same activities. Otherwise it is counted here. */
  record(activity: Activity, {n, at}: Partial<Place> = {}): void {
    this.#waiting.push({n, at: at ?? this.#clock.now(), activity})
    if (this.#waiting.length >= maxWaiting) this.#flush()
    this.#timer ??= setTimeout(() => this.#flush(), batchMs).unref()
  }

  /** Records what happened before this process could. It is no news. */
  add(event: StateEvent, {n, at}: Place): void {
    if (isActivity(event)) this.#waiting.push({n, at, activity: event, isPast: true})
    if (this.#waiting.length >= maxWaiting) this.#flush()
  }

  /** All of it, as text for `restore`. */
  save(): string {
    this.#flush()
    const saved: Saved = {entries: this.#entries, last: this.#last, counted: this.#counted, agents: [...this.#agents]}
    return JSON.stringify(saved)
  }

  restore(text: string): void {
    const {entries, last, counted, agents} = JSON.parse(text) as Saved
    this.#entries = entries
    this.#chars = charsOf(entries)
    this.#last = last
    this.#counted = counted
    this.#agents = new Map(agents)
  }

  /** Entries after a given number, oldest first, at most `limit`. */
  entries({after = 0, limit = maxMessages} = {}): readonly Entry[] {
    this.#flush()
    const start = this.#entries.findLastIndex(({n}) => n <= after) + 1
    return this.#entries.slice(start, start + limit)
  }

  get last(): number {
    return this.#last
  }

  /** Since this process started, or since the state that it shares began. */
  get counted(): Readonly<Counted> {
    this.#flush()
    return this.#counted
  }

  activityOf(agentId: string): AgentActivity | undefined {
    this.#flush()
    return this.#agents.get(agentId)
  }

  /** Calls back when there is more, until the returned function is called. */
  follow(onMore: () => void): () => void {
    this.#listeners.add(onMore)
    return () => this.#listeners.delete(onMore)
  }

  close(): void {
    this.#flush()
    this.#listeners.clear()
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#waiting.length === 0) return
    for (const waiting of this.#waiting.splice(0)) {
      this.#add(waiting)
      if (!waiting.isPast) this.#onActivity(waiting.activity)
    }

    this.#trim()
    for (const onMore of this.#listeners) onMore()
  }

  #add({n, at, activity}: Waiting): void {
    this.#last = n ?? this.#last + 1
    const timestamp = isoTime(at)
    const {agentId, ...described} = describeActivity(activity)
    const message: MonitorMessage = {id: String(this.#last), timestamp, ...described}
    this.#entries.push({n: this.#last, message})
    this.#chars += sizeOf(message)
    this.#count(activity, message)
    if (agentId === undefined) return
    const agent = {messages: (this.#agents.get(agentId)?.messages ?? 0) + 1, lastSeen: timestamp}
    this.#agents.delete(agentId) // keeps the map in the order of the last messages
    this.#agents.set(agentId, agent)
    const [oldest] = this.#agents.keys()
    if (this.#agents.size > maxAgents && oldest !== undefined) this.#agents.delete(oldest)
  }

  #count(activity: Activity, {error, tokens, response_time}: MonitorMessage): void {
    const counted = this.#counted
    counted.messages += 1
    if (activity.type === 'output') counted.toolCalls += toolCallsIn(activity.output)
    if (activity.type === 'intervention') counted.interventions += 1
    if (error !== null) counted.errors += 1
    counted.tokens += tokens ?? 0
    if (response_time === null) return
    counted.ended += 1
    counted.totalMs += response_time
  }

  #trim(): void {
    let drop = Math.max(0, this.#entries.length - maxMessages)
    let chars = this.#chars - charsOf(this.#entries.slice(0, drop))
    for (; chars > maxChars; drop++) chars -= charsOf(this.#entries.slice(drop, drop + 1))
    this.#chars = chars
    if (drop > 0) this.#entries = this.#entries.slice(drop)
  }
}

const sizeOf = ({content, error}: MonitorMessage) => content.length + (error?.length ?? 0) + overhead
const charsOf = (entries: readonly Entry[]) => entries.reduce((sum, {message}) => sum + sizeOf(message), 0)
