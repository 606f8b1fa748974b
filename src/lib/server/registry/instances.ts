import type {Clock} from '../../core/clock.ts'
import {conflict} from '../http/http-error.ts'
import type {Plane} from '../plane/plane.ts'
import {askInstance, noteAnswer} from '../rules/registry/connections.ts'
import type {Connection} from '../state/records.ts'

/** A process of a worker that announces itself, by registering or by opening a stream. */
export type Newcomer = {workerId: string; instance: string | null; hostname: string | null}

/** How often to look for an answer, in ms. */
const lookMs = 25

/**
 * Keeps two processes with one worker id apart, for example those of a cloned machine. Each process has an instance id.
 * The process with the open stream stays if it still answers. A stream can be half open after its process was killed, so
 * only an answer counts. A worker without an instance id (the existing one) replaces its stream, as ever. The stream may
 * be with another control plane that shares the state, and the answer may go there.
 */
export class Instances {
  readonly #plane: Plane
  readonly #clock: Pick<Clock, 'sleep'>
  readonly #answerMs: number

  constructor(plane: Plane, clock: Pick<Clock, 'sleep'>, answerMs: number) {
    this.#plane = plane
    this.#clock = clock
    this.#answerMs = answerMs
  }

  /** Resolves if the process may act for the worker. Rejects with 409 if another process does so already. */
  async admit({workerId, instance, hostname}: Newcomer): Promise<void> {
    const present = this.#connection(workerId)
    if (!present || !isOther(present, instance)) return
    const {connectionId} = present
    await this.#plane.run(askInstance, {workerId, connectionId})
    if (await this.#answers(present)) throw conflict(conflictText(present, hostname))
    await this.#plane.run(noteAnswer, {workerId, connectionId, isSilent: true})
  }

  /** Records a heartbeat. Rejects with 409 if another process has the open stream: this one was replaced. */
  async recordHeartbeat({workerId, instance, hostname}: Newcomer): Promise<void> {
    const present = this.#connection(workerId)
    if (!present || instance === null) return
    if (isOther(present, instance)) throw conflict(conflictText(present, hostname))
    const {connectionId, askedAt} = present
    if (askedAt !== undefined) await this.#plane.run(noteAnswer, {workerId, connectionId, isSilent: false})
  }

  #connection(workerId: string): Readonly<Connection> | undefined {
    return this.#plane.state.get('connection', workerId)
  }

  /** Whether a process answers in time. It does not if its stream ends meanwhile. */
  async #answers({workerId, connectionId}: Connection): Promise<boolean> {
    const end = performance.now() + this.#answerMs
    while (performance.now() < end) {
      const now = this.#connection(workerId)
      if (now?.connectionId !== connectionId) return false
      if (now.askedAt === undefined) return true
      await this.#clock.sleep(lookMs)
    }

    return false
  }
}

const isOther = ({instance}: Connection, newcomer: string | null) =>
  instance !== null && newcomer !== null && instance !== newcomer

const conflictText = ({workerId, hostname, connectedAt}: Connection, newcomer: string | null) =>
  `Worker id ${workerId} is in use: a process on ${hostname ?? 'an unknown host'}, connected since ${connectedAt}, ` +
  `answers to it. The process on ${newcomer ?? 'an unknown host'} cannot use it too`
