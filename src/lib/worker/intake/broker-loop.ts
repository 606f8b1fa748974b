import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {listenToBroker, type BrokerNotice} from '../../client/task-broker.ts'
import type {Clock} from '../../core/clock.ts'
import type {Emit} from '../../events/bus.ts'
import {pendingCodebase} from '../../protocol/routes.ts'
import type {Codebases} from '../registration/codebases.ts'
import type {Registration} from '../registration/registration.ts'
import {announcedBroker} from './announced-broker.ts'
import type {ConnectionState} from './connection.ts'

export type BrokerLoopOptions = {
  /** The configured Redis URL. Without one, the URL that the control plane announces is used. */
  brokerUrl: string | undefined
  /** Hosts whose Redis the control plane may announce, besides its own. */
  redisHosts: readonly string[]
  client: Pick<ControlPlaneClient, 'url'>
  registration: Pick<Registration, 'announcedBroker'>
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
  #refused: string | undefined

  constructor(options: BrokerLoopOptions) {
    this.#options = options
  }

  /** Runs until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const {brokerUrl, clock, emit, connection, pollSoon} = this.#options
    while (!signal.aborted) {
      const url = brokerUrl ?? this.#announced()
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

  /** The announced URL, if it may be followed. Otherwise one line says why not. */
  #announced(): string | undefined {
    const {registration, client, redisHosts, emit} = this.#options
    const broker = announcedBroker(registration.announcedBroker, client.url, redisHosts)
    if (broker?.refused !== undefined && broker.refused !== this.#refused)
      emit({type: 'notice', level: 'warn', text: broker.refused})
    this.#refused = broker?.refused
    return broker?.url
  }

  async #handle({type, taskId, codebaseId}: BrokerNotice, signal: AbortSignal): Promise<void> {
    const {codebases, clock, connection, pollSoon, onCancelHint} = this.#options
    if (type === 'cancelled') return onCancelHint(taskId)
    if (codebaseId !== pendingCodebase && codebases.pathOf(codebaseId) === undefined) return
    if (connection.isStreaming) await clock.sleep(streamHeadStartMs, signal)
    pollSoon()
  }
}
