import type {Emit} from '../../events/bus.ts'
import type {Connection} from '../../events/worker-event.ts'

type Channels = {
  /** The task stream is open. */
  stream: boolean
  /** The Redis channels are subscribed. */
  broker: boolean
  /** The last poll was answered, or none was made since the stream was lost. */
  polls: boolean
}

/** How tasks reach the worker now. Combines the state of all channels into one value and emits its changes. */
export class ConnectionState {
  readonly #emit: Emit
  #channels: Channels = {stream: false, broker: false, polls: false}
  #value: Connection = 'down'

  constructor(emit: Emit) {
    this.#emit = emit
  }

  get value(): Connection {
    return this.#value
  }

  get isStreaming(): boolean {
    return this.#channels.stream
  }

  /** `reason` is emitted if the change alters the connection. */
  set(change: Partial<Channels>, reason: string): void {
    this.#channels = {...this.#channels, ...change}
    const link = connectionOf(this.#channels)
    if (link === this.#value) return
    this.#value = link
    this.#emit({type: 'link.changed', link, reason})
  }
}

function connectionOf({stream, broker, polls}: Channels): Connection {
  if (stream) return 'stream'
  if (!polls) return 'down' // the broker only announces a task; the control plane has to hand it out
  return broker ? 'broker' : 'poll'
}
