import {join} from 'node:path'
import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {isAbsent, isUnauthorized, RefusedError, withAdvice} from '../../client/http.ts'
import {untilAcknowledged} from '../../client/persist.ts'
import {writePrivateFile} from '../../config/state-directory.ts'
import {isoTime, type Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import type {Emit} from '../../events/bus.ts'
import {runFiles} from '../../executor/executor.ts'
import {relay, type Tail} from '../../executor/relay.ts'
import type {Journal} from '../../journal/journal.ts'
import {isFinal, type StatusUpdate} from '../../protocol/schemas.ts'
import type {Registration} from '../registration/registration.ts'

export type DeliveryParts = {
  client: ControlPlaneClient
  registration: Registration
  journal: Journal
  clock: Clock
  emit: Emit
  workerId: string
  /** Undefined where there is nothing to look for: output is then sent as the bytes it is. Another one may follow. */
  redact: () => ((text: string) => string) | undefined
  /** Gives up sending; what is left is in the journal for the next start. */
  signal: AbortSignal
}

export type {Tail}

export type DeliveredRun = {task_id: string; attempt: number; run_dir: string}

/** Whether the agent has gone, and when nothing is written any more. */
export type RunEnd = {isClosing: () => boolean; ended: AbortSignal}

/** Cursor changes are kept at most this often: the server drops what it has seen anyway. */
const cursorMs = 250

/** For people, beside what the run printed, for as long as that is kept. Answers with the file. */
function keepRefused(run: DeliveredRun, {reason, report, at}: {reason: string; report: StatusUpdate; at: number}) {
  if (run.run_dir === '') return null
  const path = join(run.run_dir, runFiles.refused)
  try {
    writePrivateFile(path, `${JSON.stringify({at: isoTime(at), reason, report}, undefined, 2)}\n`)
    return path
  } catch {
    return null // a full disk: the log has the reason
  }
}

/** Brings what a run printed and how it ended to the server, each acknowledged, in this order. */
export class Delivery {
  readonly #parts: DeliveryParts

  constructor(parts: DeliveryParts) {
    this.#parts = parts
  }

  /**
   * Relays the spool until `ended` and everything was acknowledged, but for a tail where the server takes that along
   * with the report: what an agent prints last and how it ended are then one request. A refusal for good ends it; output
   * then stays here.
   */
  async output(run: DeliveredRun, from: number, end: RunEnd): Promise<Tail | undefined> {
    const {registration, signal} = this.#parts
    await registration.untilKnown(signal)
    return signal.aborted ? undefined : await this.#relay(run, from, end, registration.has('final-output'))
  }

  async #relay(run: DeliveredRun, from: number, end: RunEnd, keepsTail: boolean): Promise<Tail | undefined> {
    const {journal, clock, emit, signal, redact} = this.#parts
    let kept = clock.monotonic()
    try {
      return await relay({
        ...end,
        spool: join(run.run_dir, runFiles.stdout),
        from,
        signal,
        get redact() {
          return redact()
        },
        keepsTail,
        send: (bytes, offset, length) => this.#send(run, bytes, offset, length),
        onAcknowledged: (cursor) => {
          if (clock.monotonic() - kept < cursorMs) return
          kept = clock.monotonic()
          journal.acknowledged(run, cursor)
        },
      })
    } catch (error) {
      const text = `Output is kept here only: ${messageOf(error)}`
      if (!signal.aborted) emit({type: 'notice', level: 'warn', taskId: run.task_id, text})
      return undefined
    }
  }

  /** Sends the frozen report until it is acknowledged or refused for good. False: not delivered, it stays journalled. */
  async report(run: DeliveredRun, report: StatusUpdate, tail?: Tail): Promise<boolean> {
    const {client, registration, emit, workerId, signal, journal, clock} = this.#parts
    const {task_id: taskId} = run
    await registration.untilKnown(signal)
    if (signal.aborted) return false
    try {
      if (!tail || !(await this.#reportWith(tail, run, report)))
        await this.#persist(taskId, () => client.updateStatus(taskId, report, signal))
      if (isFinal(report.status)) emit({type: 'task.reported', taskId, status: report.status})
    } catch (error) {
      if (signal.aborted) return false
      const reason = messageOf(error)
      emit({type: 'task.refused', taskId, reason, kept: keepRefused(run, {reason, report, at: clock.now()})})
    }

    // A server whose claim is also the move to `running` needs no release: the final state was it.
    if (!registration.has('claim-task')) {
      await client.release(workerId, {task_id: taskId, status: report.status}, signal).catch(() => {})
    }

    journal.done(run)
    return true
  }

  /** One request for both. False: the server knows more, or less, of the output than we think; what it lacks was sent. */
  async #reportWith(tail: Tail, run: DeliveredRun, report: StatusUpdate): Promise<boolean> {
    const {client, signal} = this.#parts
    const {bytes, offset, length} = tail
    const output = {output: bytes.toString('utf8'), offset, length}
    try {
      await this.#persist(run.task_id, () => client.updateStatus(run.task_id, {...report, output}, signal))
      return true
    } catch (error) {
      if (!(error instanceof RefusedError) || error.next === undefined) throw error
      await this.#relay(run, error.next, {isClosing: () => false, ended: AbortSignal.abort()}, false)
      return false
    }
  }

  /** Resolves with where the server goes on. */
  async #send(run: DeliveredRun, bytes: Buffer, offset: number, length: number): Promise<number> {
    const {client, registration, workerId, clock, signal} = this.#parts
    const {task_id: taskId, attempt} = run
    const at = {workerId, attempt, offset, length}
    const send = registration.has('output-raw')
      ? () => client.postRawOutput(taskId, bytes, at, signal)
      : () =>
          client.postOutput(
            taskId,
            {
              worker_id: workerId,
              output: bytes.toString('utf8'),
              timestamp: new Date(clock.now()).toISOString(),
              attempt,
              offset,
              length,
            },
            signal,
          )
    return await this.#persist(taskId, async () => {
      try {
        return (await send()).next ?? offset + length
      } catch (error) {
        if (error instanceof RefusedError && error.next !== undefined && error.next !== offset) return error.next
        // An existing server without this route keeps no output at all; the task goes on without.
        if (!isAbsent(error)) throw error
      }

      return offset + length
    })
  }

  async #persist<T>(taskId: string, step: () => Promise<T>): Promise<T> {
    const {client, signal, clock, emit} = this.#parts
    return await untilAcknowledged(step, {
      signal,
      clock,
      untilRenewed: () => client.http.untilRenewed,
      onFailure: ({error, failures}) => {
        if (failures > 1) return
        const text = `${withAdvice(error)} It will be sent again until it is acknowledged.`
        emit({type: 'notice', level: isUnauthorized(error) ? 'error' : 'warn', taskId, text})
      },
    })
  }
}
