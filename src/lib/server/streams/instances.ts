import type {Clock} from '../../core/clock.ts'
import {conflict} from '../http/http-error.ts'
import type {Hub, TaskStream} from './hub.ts'

/** A process of a worker that announces itself, by registering or by opening a stream. */
export type Newcomer = {workerId: string; instance: string | null; hostname: string | null}

/**
 * Keeps two processes with one worker id apart, for example those of a cloned machine. Each process has an instance id.
 * The process with the open stream stays if it still answers. A stream can be half open after its process was killed, so
 * only an answer counts. A worker without an instance id (the existing one) replaces its stream, as ever.
 */
export class Instances {
  readonly #hub: Hub
  readonly #clock: Clock
  readonly #answerMs: number
  readonly #checks = new Map<TaskStream, {answered: Promise<boolean>; onAnswer: () => void}>()

  constructor(hub: Hub, clock: Clock, answerMs: number) {
    this.#hub = hub
    this.#clock = clock
    this.#answerMs = answerMs
  }

  /** Resolves if the process may act for the worker. Throws 409 if another process does so already. */
  async admit({workerId, instance, hostname}: Newcomer): Promise<void> {
    const present = this.#hub.streamOf(workerId)
    if (!present || !this.#isOther(present, instance)) return
    if (await this.#answers(present)) throw conflict(conflictText(present, hostname))
    present.close()
  }

  /** Records a heartbeat. Throws 409 if another process has the open stream: this one was replaced. */
  recordHeartbeat({workerId, instance, hostname}: Newcomer): void {
    const present = this.#hub.streamOf(workerId)
    if (!present || instance === null) return
    if (this.#isOther(present, instance)) throw conflict(conflictText(present, hostname))
    this.#checks.get(present)?.onAnswer()
  }

  #isOther({instance}: TaskStream, newcomer: string | null): boolean {
    return instance !== null && newcomer !== null && instance !== newcomer
  }

  /** Asks the process of a stream for a heartbeat. Newcomers that come at the same time share the answer. */
  #answers(stream: TaskStream): Promise<boolean> {
    const open = this.#checks.get(stream)
    if (open) return open.answered
    const stop = new AbortController()
    const {promise, resolve} = Promise.withResolvers<boolean>()
    const answered = Promise.race([promise, this.#clock.sleep(this.#answerMs, stop.signal).then(() => false)])
    this.#checks.set(stream, {answered, onAnswer: () => resolve(true)})
    stream.closed.addEventListener('abort', () => resolve(false), {once: true})
    void answered.finally(() => {
      stop.abort()
      this.#checks.delete(stream)
    })
    stream.send('instance_check', {worker_id: stream.workerId})
    return answered
  }
}

const conflictText = ({workerId, hostname, connectedAt}: TaskStream, newcomer: string | null) =>
  `Worker id ${workerId} is in use: a process on ${hostname ?? 'an unknown host'}, connected since ${connectedAt}, ` +
  `answers to it. The process on ${newcomer ?? 'an unknown host'} cannot use it too`
