import type {Clock} from '../../core/clock.ts'
import {isoTime} from '../../core/clock.ts'
import type {MonitorMessage} from '../../protocol/monitor-schemas.ts'
import type {Happening} from './activity.ts'
import {describe, toolCallsIn} from './activity.ts'

/** What is kept: so many messages, of so many characters in all. */
const maxMessages = 10_000
const maxChars = 8 * 1024 * 1024
/** What a message takes beside its text, roughly. */
const overhead = 500
/** Happenings are put into words together, and not while those wait who made them happen. */
const pauseMs = 100
const maxWaiting = 1000
/** Workers of which messages are counted: the Python worker has another id each time it starts. */
const maxAgents = 10_000

export type Entry = {n: number; message: MonitorMessage}
type Waiting = {at: number; happening: Happening}
type Counted = {
  messages: number
  toolCalls: number
  errors: number
  tokens: number
  /** Tasks that ended after they had begun, and how long they took in all. */
  ended: number
  totalMs: number
  interventions: number
}
export type AgentActivity = {messages: number; lastSeen: string}

/**
 * A log of what happens, for those who watch: in memory, bounded, gone with the process. Noting costs a push; the
 * rest is done a moment later, once for all.
 */
export class MonitorLog {
  readonly #clock: Clock
  #waiting: Waiting[] = []
  #timer: NodeJS.Timeout | undefined
  #entries: Entry[] = []
  #chars = 0
  // ids go on growing over restarts
  #last: number
  readonly #listeners = new Set<() => void>()
  readonly #agents = new Map<string, AgentActivity>()
  readonly #counted: Counted = {messages: 0, toolCalls: 0, errors: 0, tokens: 0, ended: 0, totalMs: 0, interventions: 0}

  constructor(clock: Clock) {
    this.#clock = clock
    this.#last = clock.now() * 1000
  }

  note(happening: Happening): void {
    this.#waiting.push({at: this.#clock.now(), happening})
    if (this.#waiting.length >= maxWaiting) this.#digest()
    this.#timer ??= setTimeout(() => this.#digest(), pauseMs).unref()
  }

  /** What is kept, oldest first, from after this one on, and no more than that many. */
  entries({after = 0, limit = maxMessages} = {}): readonly Entry[] {
    this.#digest()
    const first = this.#entries[0]?.n ?? 0
    const start = Math.max(0, after + 1 - first) // numbers have no gaps
    return this.#entries.slice(start, start + limit)
  }

  get last(): number {
    return this.#last
  }

  /** Since this process started. */
  get counted(): Readonly<Counted> {
    this.#digest()
    return this.#counted
  }

  activityOf(agentId: string): AgentActivity | undefined {
    this.#digest()
    return this.#agents.get(agentId)
  }

  /** Calls back when there is more, until the returned function is called. */
  follow(onMore: () => void): () => void {
    this.#listeners.add(onMore)
    return () => this.#listeners.delete(onMore)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#listeners.clear()
  }

  #digest(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#waiting.length === 0) return
    for (const waiting of this.#waiting.splice(0)) this.#add(waiting)
    this.#forgetOld()
    for (const onMore of this.#listeners) onMore()
  }

  #add({at, happening}: Waiting): void {
    this.#last += 1
    const timestamp = isoTime(at)
    const {agentId, ...described} = describe(happening)
    const message: MonitorMessage = {id: String(this.#last), timestamp, ...described}
    this.#entries.push({n: this.#last, message})
    this.#chars += sizeOf(message)
    this.#count(happening, message)
    if (agentId === undefined) return
    const activity = {messages: (this.#agents.get(agentId)?.messages ?? 0) + 1, lastSeen: timestamp}
    this.#agents.delete(agentId) // so that the order is that of their last message
    this.#agents.set(agentId, activity)
    const [oldest] = this.#agents.keys()
    if (this.#agents.size > maxAgents && oldest !== undefined) this.#agents.delete(oldest)
  }

  #count(happening: Happening, {error, tokens, response_time}: MonitorMessage): void {
    const counted = this.#counted
    counted.messages += 1
    if (happening.type === 'output') counted.toolCalls += toolCallsIn(happening.output)
    if (happening.type === 'intervention') counted.interventions += 1
    if (error !== null) counted.errors += 1
    counted.tokens += tokens ?? 0
    if (response_time === null) return
    counted.ended += 1
    counted.totalMs += response_time
  }

  #forgetOld(): void {
    let drop = Math.max(0, this.#entries.length - maxMessages)
    let chars = this.#chars - charsOf(this.#entries.slice(0, drop))
    for (; chars > maxChars; drop++) chars -= charsOf(this.#entries.slice(drop, drop + 1))
    this.#chars = chars
    if (drop > 0) this.#entries = this.#entries.slice(drop)
  }
}

const sizeOf = ({content, error}: MonitorMessage) => content.length + (error?.length ?? 0) + overhead
const charsOf = (entries: readonly Entry[]) => entries.reduce((sum, {message}) => sum + sizeOf(message), 0)
