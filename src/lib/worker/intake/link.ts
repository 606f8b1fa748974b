import type {Emit} from '../../events/bus.ts'
import type {Link} from '../../events/worker-event.ts'

type Ways = {
  /** The task stream is open. */
  stream: boolean
  /** The broker's announcements are subscribed to. */
  broker: boolean
  /** The last poll was answered, or none has been made since the stream was lost. */
  polls: boolean
}

/** How tasks reach the worker now: one value, made of what is known of each way, and told when it changes. */
export class LinkState {
  readonly #emit: Emit
  #ways: Ways = {stream: false, broker: false, polls: false}
  #value: Link = 'down'

  constructor(emit: Emit) {
    this.#emit = emit
  }

  get value(): Link {
    return this.#value
  }

  get isStreaming(): boolean {
    return this.#ways.stream
  }

  /** `reason` is told if this changes the link. */
  set(change: Partial<Ways>, reason: string): void {
    this.#ways = {...this.#ways, ...change}
    const link = linkOf(this.#ways)
    if (link === this.#value) return
    this.#value = link
    this.#emit({type: 'link.changed', link, reason})
  }
}

function linkOf({stream, broker, polls}: Ways): Link {
  if (stream) return 'stream'
  if (!polls) return 'down' // a broker says that there is a task, but the task is the server's
  return broker ? 'broker' : 'poll'
}
