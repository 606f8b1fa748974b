import type {Redactor} from '../../core/redaction/redact.ts'
import {join} from 'node:path'
import type {ControlPlaneClient, OutputText} from '../../client/control-plane.ts'
import {isNotFound, isTransient, isUnauthorized, RefusedError, messageWithSuggestions} from '../../client/http.ts'
import {untilAcknowledged} from '../../client/until-acknowledged.ts'
import {writePrivateFile} from '../../config/state-directory.ts'
import {isoTime, type Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import type {Emit} from '../../events/bus.ts'
import {runFiles} from '../../executor/spool/file-names.ts'
import {uploadSpool, type Tail} from '../../executor/spool/upload-spool.ts'
import type {Journal} from '../../journal/journal.ts'
import {isFinal, type StatusUpdate} from '../../protocol/schemas.ts'
import type {Registration} from '../registration/registration.ts'

export type RunUploaderOptions = {
  client: ControlPlaneClient
  registration: Registration
  journal: Journal
  clock: Clock
  emit: Emit
  workerId: string
  /** Returns the current redactor, or undefined if nothing is redacted: output is then sent byte by byte. */
  redact: () => Redactor | undefined
  /** Aborted when sending is given up. The journal keeps the rest for the next start. */
  signal: AbortSignal
}

export type {Tail}

export type UploadedRun = {task_id: string; attempt: number; run_dir: string}

/** `isClosing`: the agent has exited. `ended`: nothing is written any more. `onSent`: output was acknowledged. */
export type RunEnd = {isClosing: () => boolean; ended: AbortSignal; onSent?: () => void}

type Sent = OutputText & {onSent?: (() => void) | undefined; giveUp: AbortSignal | undefined}

/** The shortest time between two writes of the cursor. The control plane drops output that it has already. */
const cursorMs = 250

/** Saves a refused report beside the run's output, for people to read. Returns the path of the file. */
function saveRefusedReport(run: UploadedRun, {reason, report, at}: {reason: string; report: StatusUpdate; at: number}) {
  if (run.run_dir === '') return null
  const path = join(run.run_dir, runFiles.refused)
  try {
    writePrivateFile(path, `${JSON.stringify({at: isoTime(at), reason, report}, undefined, 2)}\n`)
    return path
  } catch {
    return null // the disk is full; the log has the reason
  }
}

/** Uploads the output of a run and then its report, each until it is acknowledged. */
export class RunUploader {
  readonly #options: RunUploaderOptions
  #acknowledgedBytes = 0

  constructor(options: RunUploaderOptions) {
    this.#options = options
  }

  /** Output that the control plane has acknowledged since the start, in bytes of the spools. */
  get acknowledgedBytes(): number {
    return this.#acknowledgedBytes
  }

  /**
   * Uploads the spool until `ended` and until everything is acknowledged. Resolves with a tail if the control plane
   * accepts the last output together with the report, which saves a request. A final refusal ends the upload; the
   * output then stays on this machine.
   */
  async uploadOutput(run: UploadedRun, from: number, end: RunEnd): Promise<Tail | undefined> {
    const {registration, signal} = this.#options
    await registration.untilRegistered(signal)
    return signal.aborted ? undefined : await this.#upload(run, from, end, registration.has('final-output'))
  }

  async #upload(run: UploadedRun, from: number, end: RunEnd, keepsTail: boolean): Promise<Tail | undefined> {
    const {journal, clock, emit, signal, redact} = this.#options
    let savedAt = clock.monotonic()
    const memory = {buffer: Buffer.alloc(0)}
    try {
      return await uploadSpool({
        ...end,
        spool: join(run.run_dir, runFiles.stdout),
        from,
        signal,
        get redact() {
          return redact()
        },
        keepsTail,
        send: (bytes, offset, length, giveUp) =>
          this.#send(run, {bytes, memory, onSent: end.onSent, giveUp}, offset, length),
        onAcknowledged: (cursor) => {
          if (clock.monotonic() - savedAt < cursorMs) return
          savedAt = clock.monotonic()
          journal.acknowledged(run, cursor)
        },
      })
    } catch (error) {
      const text = `The output stays on this machine only: ${messageOf(error)}`
      if (!signal.aborted) emit({type: 'notice', level: 'warn', taskId: run.task_id, text})
      return undefined
    }
  }

  /** Sends the report until it is acknowledged or finally refused. Resolves with false if it stays in the journal. */
  async uploadReport(run: UploadedRun, report: StatusUpdate, tail?: Tail): Promise<boolean> {
    const {client, registration, emit, signal, journal, clock} = this.#options
    const {task_id: taskId} = run
    await registration.untilRegistered(signal)
    if (signal.aborted) return false
    try {
      if (!tail || !(await this.#reportWithTail(tail, run, report)))
        await this.#untilAcknowledged(taskId, () => client.updateStatus(taskId, report, signal))
      if (isFinal(report.status)) emit({type: 'task.reported', taskId, status: report.status})
    } catch (error) {
      if (signal.aborted) return false
      const reason = messageOf(error)
      // a task that was to return to the queue is there, or with another worker
      if (report.status !== 'pending')
        emit({type: 'task.refused', taskId, reason, kept: saveRefusedReport(run, {reason, report, at: clock.now()})})
    }

    journal.remove(run)
    return true
  }

  /**
   * Sends report and tail in one request. Resolves with false if the control plane has a different output offset. The
   * missing output was then uploaded, and the report remains to be sent.
   */
  async #reportWithTail(tail: Tail, run: UploadedRun, report: StatusUpdate): Promise<boolean> {
    const {client, signal} = this.#options
    const {bytes, offset, length} = tail
    const output = {output: bytes.toString('utf8'), offset, length}
    try {
      await this.#untilAcknowledged(run.task_id, () => client.updateStatus(run.task_id, {...report, output}, signal))
      this.#acknowledgedBytes += length
      return true
    } catch (error) {
      if (!(error instanceof RefusedError) || error.next === undefined) throw error
      await this.#upload(run, error.next, {isClosing: () => false, ended: AbortSignal.abort()}, false)
      return false
    }
  }

  /** Resolves with the offset at which the control plane continues. Undefined: given up, see `uploadSpool`. */
  async #send(
    run: UploadedRun,
    {onSent, giveUp, ...text}: Sent,
    offset: number,
    length: number,
  ): Promise<number | undefined> {
    const {client, registration, workerId, clock, signal} = this.#options
    const {task_id: taskId, attempt} = run
    const position = {workerId, attempt, offset, length}
    const send = registration.has('output-raw')
      ? () => client.postRawOutput(taskId, text.bytes, position, signal)
      : () =>
          client.postOutput(
            taskId,
            {worker_id: workerId, timestamp: new Date(clock.now()).toISOString(), attempt, offset, length},
            text,
            signal,
          )
    const step = async () => {
      try {
        const {next} = await send()
        onSent?.()
        this.#acknowledgedBytes += length
        return next ?? offset + length
      } catch (error) {
        if (error instanceof RefusedError && error.next !== undefined && error.next !== offset) return error.next
        // An existing server without this route stores no output. The task continues without it.
        if (!isNotFound(error)) throw error
      }

      return offset + length
    }
    return await this.#untilAcknowledged(taskId, step, giveUp).catch((error: unknown) => {
      const isGivenUp = giveUp?.aborted === true && !signal.aborted && (isTransient(error) || isUnauthorized(error))
      if (!isGivenUp) throw error
      return undefined
    })
  }

  async #untilAcknowledged<T>(taskId: string, step: () => Promise<T>, giveUp?: AbortSignal): Promise<T> {
    const {client, signal, clock, emit} = this.#options
    return await untilAcknowledged(step, {
      signal,
      clock,
      giveUp,
      untilRenewed: () => client.http.untilRenewed,
      onFailure: ({error, failures}) => {
        if (failures > 1) return
        const text = `${messageWithSuggestions(error)} It will be sent again until it is acknowledged.`
        emit({type: 'notice', level: isUnauthorized(error) ? 'error' : 'warn', taskId, text})
      },
    })
  }
}
