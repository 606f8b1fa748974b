import {listenToBroker, type BrokerNotice} from '../../client/task-broker.ts'
import type {Clock} from '../../core/clock.ts'
import type {Emit} from '../../events/bus.ts'
import {pendingCodebase} from '../../protocol/routes.ts'
import type {Codebases} from '../registration/codebases.ts'
import type {Registration} from '../registration/registration.ts'
import type {ConnectionState} from './connection.ts'

export type BrokerLoopOptions = {
  /** The configured Redis URL. Without one, the URL that the control plane announces is used. */
  brokerUrl: string | undefined
  registration: Pick<Registration, 'brokerUrl'>
  codebases: Codebases
  clock: Clock
  emit: Emit
  connection: ConnectionState
  pollSoon: () => void
  /** Called when Redis announces that a task was cancelled. The control plane has the details. */
  onCancelHint: (taskId: string) => void
}

/** How often to check whether the control plane announces a broker now. */
const checkMs = 60_000
/** While the stream is open it usually delivers the task first, so a poll waits this long. */
const streamHeadStartMs = 500

/** Listens to Redis announcements of tasks. An announcement only triggers a poll: the control plane hands out tasks. */
export class BrokerLoop {
  readonly #options: BrokerLoopOptions

  constructor(options: BrokerLoopOptions) {
    this.#options = options
  }

  /** Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const {brokerUrl, registration, clock, emit, connection, pollSoon} = this.#options
    while (!signal.aborted) {
      const url = brokerUrl ?? registration.brokerUrl
      if (url === undefined) {
        await clock.sleep(checkMs, signal)
        continue
      }

      await listenToBroker({
        url,
        signal,
        onNotice: (notice) => void this.#handle(notice, signal),
        onState: (isUp, reason) => {
          emit({type: 'broker.changed', isUp, reason})
          connection.set({broker: isUp}, isUp ? 'the broker announces tasks' : `the broker is lost: ${reason}`)
          if (isUp) pollSoon() // announcements made meanwhile were missed
        },
      })
    }
  }

  async #handle({type, taskId, codebaseId}: BrokerNotice, signal: AbortSignal): Promise<void> {
    const {codebases, clock, connection, pollSoon, onCancelHint} = this.#options
    if (type === 'cancelled') return onCancelHint(taskId)
    if (codebaseId !== pendingCodebase && codebases.pathOf(codebaseId) === undefined) return
    if (connection.isStreaming) await clock.sleep(streamHeadStartMs, signal)
    pollSoon()
  }
}
