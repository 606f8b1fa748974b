import {randomUUID} from 'node:crypto'
import type {Clock} from '../../core/clock.ts'
import {isoTime} from '../../core/clock.ts'
import type {EventStream} from './event-stream.ts'

export type Subscription = {
  workerId: string
  agentName: string
  capabilities: readonly string[]
  codebases: readonly string[]
}

/** One open task stream of a worker. */
export type TaskStream = Omit<Subscription, 'codebases'> & {
  /** Of this connection: the same worker's next connection has another. */
  readonly connectionId: string
  codebases: ReadonlySet<string>
  readonly connectedAt: string
  lastHeartbeat: string
  send(event: string, data: unknown): void
  close(): void
}

/** The open streams: task streams by worker, and who follows which task's output. */
export class Hub {
  readonly #clock: Clock
  readonly #streams = new Map<string, TaskStream>()
  readonly #byCodebase = new Map<string, Set<TaskStream>>()
  readonly #taskFollowers = new Followers()
  readonly #codebaseFollowers = new Followers()
  readonly #open = new Set<EventStream>()
  // ids go on growing over restarts, as long as there are fewer than a thousand events a millisecond
  #lastEventId: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#lastEventId = clock.now() * 1000
  }

  /** Registers a stream; an older one of the same worker is closed, so that none is left that nobody feeds. */
  connect({codebases, ...who}: Subscription, events: EventStream, onClosed: (stream: TaskStream) => void): TaskStream {
    const now = isoTime(this.#clock.now())
    const stream: TaskStream = {
      ...who,
      codebases: new Set(),
      connectionId: randomUUID(),
      connectedAt: now,
      lastHeartbeat: now,
      send: (event, data) => events.send({event, data: JSON.stringify(data), id: String((this.#lastEventId += 1))}),
      close: () => events.close(),
    }
    const older = this.#streams.get(who.workerId)
    this.#streams.set(who.workerId, stream)
    this.setCodebases(stream, codebases)
    this.track(events)
    older?.close()
    events.closed.addEventListener('abort', () => {
      this.setCodebases(stream, [])
      if (this.#streams.get(who.workerId) === stream) this.#streams.delete(who.workerId)
      onClosed(stream)
    })
    return stream
  }

  setCodebases(stream: TaskStream, codebases: readonly string[]): void {
    for (const id of stream.codebases) {
      const streams = this.#byCodebase.get(id)
      streams?.delete(stream)
      if (streams?.size === 0) this.#byCodebase.delete(id)
    }

    stream.codebases = new Set(codebases)
    for (const id of stream.codebases) this.#byCodebase.set(id, (this.#byCodebase.get(id) ?? new Set()).add(stream))
  }

  streamOf(workerId: string): TaskStream | undefined {
    return this.#streams.get(workerId)
  }

  streams(): Iterable<TaskStream> {
    return this.#streams.values()
  }

  /** Streams that named this codebase when they were opened. */
  streamsFor(codebaseId: string): Iterable<TaskStream> {
    return this.#byCodebase.get(codebaseId) ?? []
  }

  /** Something every so often on each stream: a worker takes a silent one for dead. */
  heartbeat(): void {
    const timestamp = isoTime(this.#clock.now())
    for (const stream of this.#streams.values()) {
      stream.lastHeartbeat = timestamp
      stream.send('heartbeat', {timestamp, worker_id: stream.workerId})
    }
  }

  /** Calls `onChange` whenever the task's output or state has changed, until the returned function is called. */
  follow(taskId: string, onChange: () => void): () => void {
    return this.#taskFollowers.add(taskId, onChange)
  }

  /** The same for all tasks of a codebase; without a task when the codebase itself is another, or gone. */
  followCodebase(codebaseId: string, onChange: OnChange): () => void {
    return this.#codebaseFollowers.add(codebaseId, onChange)
  }

  changed({id, codebase_id}: {id: string; codebase_id: string}): void {
    this.#taskFollowers.tell(id, id)
    this.#codebaseFollowers.tell(codebase_id, id)
  }

  codebaseChanged(codebaseId: string): void {
    this.#codebaseFollowers.tell(codebaseId)
  }

  /** Remembers an open stream, so that closing the plane ends it. */
  track(events: EventStream): void {
    this.#open.add(events)
    events.closed.addEventListener('abort', () => this.#open.delete(events))
  }

  closeAll(): void {
    for (const events of this.#open) events.close()
  }
}

type OnChange = (taskId: string | undefined) => void

/** Who wants to hear of what. */
class Followers {
  readonly #byKey = new Map<string, Set<OnChange>>()

  add(key: string, onChange: OnChange): () => void {
    const followers = this.#byKey.get(key) ?? new Set()
    this.#byKey.set(key, followers.add(onChange))
    return () => {
      followers.delete(onChange)
      if (followers.size === 0) this.#byKey.delete(key)
    }
  }

  tell(key: string, taskId?: string): void {
    for (const onChange of this.#byKey.get(key) ?? []) onChange(taskId)
  }
}
