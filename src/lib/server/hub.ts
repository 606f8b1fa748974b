import {randomUUID} from 'node:crypto'
import type {ServerResponse} from 'node:http'
import {isoTime, type Clock} from '../core/clock.ts'
import {encodeEvent} from '../protocol/sse.ts'

/** An open task stream. Keyed by its own id: two connections of one worker are never mixed up. */
export type Connection = {
  readonly id: string
  readonly workerId: string
  readonly name: string
  readonly codebases: Set<string>
  readonly capabilities: ReadonlySet<string>
  readonly connectedAt: string
  lastFrameAt: string
  send(event: string, data: unknown): void
  close(): void
}

/** A reader that is this far behind is cut off; it comes back and catches up. */
const mostBuffered = 4 * 1024 * 1024

export const sseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  connection: 'keep-alive',
}

export type HubEvents = {
  opened: (connection: Connection) => void
  closed: (connection: Connection) => void
}

/** All open task streams: one a worker, the newest; each hears something at least every `keepAliveMs`. */
export class Hub {
  readonly #byWorker = new Map<string, Connection>()
  readonly #clock: Clock
  readonly #keepAliveMs: number
  readonly #events: HubEvents
  #lastId = 0

  constructor(clock: Clock, keepAliveMs: number, events: HubEvents) {
    this.#clock = clock
    this.#keepAliveMs = keepAliveMs
    this.#events = events
  }

  get(workerId: string): Connection | undefined {
    return this.#byWorker.get(workerId)
  }

  all(): Connection[] {
    return [...this.#byWorker.values()]
  }

  open(
    response: ServerResponse,
    who: {workerId: string; name: string; codebases: string[]; capabilities: string[]},
  ): void {
    this.#byWorker.get(who.workerId)?.close()
    const now = isoTime(this.#clock.now())
    const connection: Connection = {
      id: randomUUID(),
      workerId: who.workerId,
      name: who.name,
      codebases: new Set(who.codebases),
      capabilities: new Set(who.capabilities),
      connectedAt: now,
      lastFrameAt: now,
      send: (event, data) => {
        connection.lastFrameAt = isoTime(this.#clock.now())
        response.write(encodeEvent({event, data: JSON.stringify(data), id: String(++this.#lastId)}))
        if (response.writableLength > mostBuffered) response.destroy()
      },
      close: () => response.end(),
    }
    response.writeHead(200, sseHeaders)
    const heartbeat = setInterval(() => connection.send('heartbeat', this.#stamp(who.workerId)), this.#keepAliveMs)
    response.on('close', () => {
      clearInterval(heartbeat)
      if (this.#byWorker.get(who.workerId) === connection) this.#byWorker.delete(who.workerId)
      this.#events.closed(connection)
    })
    this.#byWorker.set(who.workerId, connection)
    connection.send('connected', {
      event: 'connected',
      agent_name: who.name,
      message: 'Connected to task stream',
      ...this.#stamp(who.workerId),
    })
    this.#events.opened(connection)
  }

  closeAll(): void {
    for (const connection of this.#byWorker.values()) connection.close()
  }

  #stamp(workerId: string) {
    return {worker_id: workerId, timestamp: isoTime(this.#clock.now())}
  }
}
