import type {HttpBindings} from '@hono/node-server'
import {RESPONSE_ALREADY_SENT} from '@hono/node-server/utils/response'
import type {Context} from 'hono'
import type {SseEvent} from '../../protocol/sse.ts'
import {encodeComment, encodeEvent, encodeRetry} from '../../protocol/sse.ts'
import type {AppEnv} from '../http/app-env.ts'
import type {OpenStreams} from '../limits/open-streams.ts'

/** A reader with this many unread bytes is disconnected to save memory. It can reconnect. */
const maxQueued = 1024 * 1024

/** When a reader may connect again after this control plane has ended its stream. Another one may be there. */
const retryMs = 100

const headers = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}

/** The server's end of one `text/event-stream`. */
export class EventStream {
  readonly #response: HttpBindings['outgoing']
  readonly #closed = new AbortController()

  constructor(response: HttpBindings['outgoing']) {
    this.#response = response
    response.on('error', () => this.close()) // a reset by the reader ends this stream only
    response.on('close', () => this.#closed.abort())
    response.writeHead(200, headers)
    response.flushHeaders()
  }

  /** Aborted when either side has ended the stream. */
  get closed(): AbortSignal {
    return this.#closed.signal
  }

  /** Whether nothing can be sent any more. The reader may not have noticed yet. */
  get isEnded(): boolean {
    return this.closed.aborted || this.#response.writableEnded
  }

  send(event: SseEvent): void {
    this.#write(encodeEvent(event))
  }

  comment(text: string): void {
    this.#write(encodeComment(text))
  }

  /** Whether the reader has taken what was sent. If not, wait for `drained`. */
  get isReady(): boolean {
    return !this.#response.writableNeedDrain
  }

  /** Resolves when the reader has taken everything, or the stream has ended. */
  drained(): Promise<void> {
    if (this.isReady || this.closed.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        this.#response.off('drain', done)
        this.closed.removeEventListener('abort', done)
        resolve()
      }
      this.#response.on('drain', done)
      this.closed.addEventListener('abort', done)
    })
  }

  /** Ends the stream after all sent data, and asks the reader to connect again soon. */
  leave(): void {
    this.#write(encodeRetry(retryMs))
    this.end()
  }

  /** Ends the stream after all sent data. */
  end(): void {
    this.#response.end()
  }

  /** Ends the stream now and drops unsent data. */
  close(): void {
    this.#response.destroy()
    this.#closed.abort()
  }

  #write(bytes: Buffer): void {
    if (this.isEnded) return
    this.#response.write(bytes)
    if (this.#response.writableLength > maxQueued) this.close()
  }
}

/**
 * Turns the answer into an event stream. A HEAD request gets the headers only. Throws 429 if the client has too many open
 * streams.
 */
export function openEventStream(
  c: Context<AppEnv>,
  openStreams: OpenStreams,
  serve: (stream: EventStream) => void,
): Response {
  if (c.req.method === 'HEAD') return c.body(null, 200, headers)
  if (c.env.outgoing.destroyed) return c.body(null) // the reader has gone away meanwhile
  const release = openStreams.open(c.get('client'), c.get('identity'))
  const stream = new EventStream(c.env.outgoing)
  stream.closed.addEventListener('abort', release)
  serve(stream)
  return RESPONSE_ALREADY_SENT
}
