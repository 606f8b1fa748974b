import {randomUUID} from 'node:crypto'
import type {Clock} from '../../core/clock.ts'
import {isoTime} from '../../core/clock.ts'
import type {Connection} from '../state/records.ts'
import type {EventStream} from './event-stream.ts'

/** One open task stream of a worker. */
export type TaskStream = {
  readonly connection: Connection
  /** Aborted when the stream has ended. */
  readonly closed: AbortSignal
  send(event: string, data: unknown): void
  close(): void
}

/** The open streams: task streams by worker, and the followers of tasks and codebases. */
export class Hub {
  readonly #clock: Clock
  readonly #streams = new Map<string, TaskStream>()
  readonly #taskFollowers = new Followers()
  readonly #codebaseFollowers = new Followers()
  readonly #open = new Set<EventStream>()
  // ids grow across restarts as well, below a thousand events per millisecond
  #lastEventId: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#lastEventId = clock.now() * 1000
  }

  /** Registers a stream. An older stream of the same worker is closed: only the newest gets events. */
  connect(
    who: Omit<Connection, 'connectionId'>,
    events: EventStream,
    onClosed: (connection: Connection) => void,
  ): TaskStream {
    const {workerId} = who
    const connection = {...who, connectionId: randomUUID()}
    const stream: TaskStream = {
      connection,
      closed: events.closed,
      send: (event, data) => events.send({event, data: JSON.stringify(data), id: String((this.#lastEventId += 1))}),
      close: () => events.close(),
    }
    const older = this.#streams.get(workerId)
    this.#streams.set(workerId, stream)
    this.track(events)
    older?.close()
    events.closed.addEventListener('abort', () => {
      if (this.#streams.get(workerId) === stream) this.#streams.delete(workerId)
      onClosed(connection)
    })
    return stream
  }

  streamOf(workerId: string): TaskStream | undefined {
    return this.#streams.get(workerId)
  }

  streams(): Iterable<TaskStream> {
    return this.#streams.values()
  }

  /** Sends a heartbeat on each stream. A worker considers a silent stream dead. */
  heartbeat(): void {
    const timestamp = isoTime(this.#clock.now())
    for (const [worker_id, stream] of this.#streams) stream.send('heartbeat', {timestamp, worker_id})
  }

  /** Calls `onChange` whenever the task's output or state has changed, until the returned function is called. */
  follow(taskId: string, onChange: () => void): () => void {
    return this.#taskFollowers.add(taskId, onChange)
  }

  /** The same for all tasks of a codebase. `onChange` gets no task id if the codebase itself changed or was removed. */
  followCodebase(codebaseId: string, onChange: OnChange): () => void {
    return this.#codebaseFollowers.add(codebaseId, onChange)
  }

  notifyFollowers({id, codebase_id}: {id: string; codebase_id: string}): void {
    this.#taskFollowers.notify(id, id)
    this.#codebaseFollowers.notify(codebase_id, id)
  }

  codebaseChanged(codebaseId: string): void {
    this.#codebaseFollowers.notify(codebaseId)
  }

  /** How many streams are open, of all kinds. */
  get openCount(): number {
    return this.#open.size
  }

  /** Tracks an open stream, so that `leaveAll` ends it. */
  track(events: EventStream): void {
    this.#open.add(events)
    events.closed.addEventListener('abort', () => this.#open.delete(events))
  }

  /** Ends all streams, so that their readers connect again. Resolves when they have ended, or after this time in ms. */
  async leaveAll(ms: number): Promise<void> {
    for (const events of this.#open) events.leave()
    const end = performance.now() + ms
    while (this.#open.size > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5))
    for (const events of this.#open) events.close()
  }
}

type OnChange = (taskId: string | undefined) => void

/** Callbacks by key. */
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

  notify(key: string, taskId?: string): void {
    for (const onChange of this.#byKey.get(key) ?? []) onChange(taskId)
  }
}
