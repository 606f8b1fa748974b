import type {Connection} from '../../events/worker-event.ts'
import type {Task} from '../../protocol/schemas.ts'
import {BrokerLoop, type BrokerLoopOptions} from './broker-loop.ts'
import {ConnectionState} from './connection.ts'
import {PollLoop, type PollLoopOptions} from './poll-loop.ts'
import {StreamLoop, type StreamLoopOptions} from './stream-loop.ts'

export type IntakeOptions = Omit<
  PollLoopOptions & StreamLoopOptions & BrokerLoopOptions,
  'connection' | 'onTask' | 'pollSoon'
> & {
  /** `seenAt` is the monotonic time at which the control plane was asked; for a push it is now. */
  onTask: (task: Task, source: 'stream' | 'poll', seenAt: number) => void
}

/** Receives tasks in three ways: the stream, Redis announcements, and polling. Polling slows down while another works. */
export class Intake {
  readonly #connection: ConnectionState
  readonly #polls: PollLoop
  readonly #stream: StreamLoop
  readonly #broker: BrokerLoop

  constructor({onTask, ...options}: IntakeOptions) {
    const connection = new ConnectionState(options.emit)
    const pollSoon = () => this.pollSoon()
    this.#connection = connection
    this.#polls = new PollLoop({...options, connection, onTask: (task, seenAt) => onTask(task, 'poll', seenAt)})
    this.#stream = new StreamLoop({
      ...options,
      connection,
      pollSoon,
      onTask: (task) => onTask(task, 'stream', options.clock.monotonic()),
    })
    this.#broker = new BrokerLoop({...options, connection, pollSoon})
  }

  get connection(): Connection {
    return this.#connection.value
  }

  /** Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#stream.run(signal), this.#polls.run(signal), this.#broker.run(signal)])
  }

  /** Polls now, because a slot became free or a task may have been missed. */
  pollSoon(): void {
    this.#polls.pollSoon()
  }

  /** Reopens the stream with the current codebases and token. Ends the pause before the next attempt, if there is one. */
  reconnect(reason: string): void {
    this.#stream.reconnect(reason)
  }

  /** Sends the current codebases to the control plane: by the open stream if possible, otherwise by a new one. */
  async announceCodebases(): Promise<void> {
    await this.#stream.announceCodebases()
  }
}
