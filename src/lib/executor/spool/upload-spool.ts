import type {Redactor} from '../../core/redaction/redact.ts'
import {limits} from '../../protocol/limits.ts'
import {follow} from './follow.ts'

export type UploadOptions = {
  spool: string
  /** Bytes of the spool that were acknowledged before. */
  from: number
  /** Whether the agent has exited. With `returnsTail`, output that is not sent yet then waits for the end. */
  isClosing: () => boolean
  /** Aborted when nothing is written to the spool any more. */
  ended: AbortSignal
  /** Aborted to give up. What was not sent stays in the spool. */
  signal: AbortSignal
  /** Read for each batch. */
  readonly redact: Redactor | undefined
  /**
   * Sends bytes that represent `length` bytes of the spool at `offset`. Resolves with the offset at which the control
   * plane continues: behind them, or elsewhere if it has more or less of the output than we remember. With `giveUp`,
   * resolves with undefined if they are not acknowledged once that is aborted: then they may go with the report.
   */
  send: (bytes: Buffer, offset: number, length: number, giveUp?: AbortSignal) => Promise<number | undefined>
  /** Everything up to `cursor` is acknowledged. */
  onAcknowledged: (cursor: number) => void
  /** Returns the last batch instead of sending it, so that it can go with the report. */
  keepsTail: boolean
}

/** Bytes that represent `length` bytes of the spool at `offset`. */
export type Tail = {bytes: Buffer; offset: number; length: number}

const newline = 10
/** The first line is sent at once. Later lines that arrive within this time are sent together. */
const settleMs = 3

/** How often the control plane may name another offset without accepting anything. Then something is wrong. */
const maxDetours = 10

/**
 * Uploads a spool: the first line at once, then in each request what has been written meanwhile. Batches are in order and
 * end at line ends, unless a line is too long. Resolves when everything is acknowledged, except the tail if it is
 * returned. Rejects if the control plane refuses the output for good.
 *
 * After a crash the control plane may have more than we remember, and up to another position than our batches end. It
 * then names the offset at which to continue.
 */
export async function uploadSpool(options: UploadOptions): Promise<Tail | undefined> {
  let from = options.from
  for (let detours = 0; detours < maxDetours;) {
    const result = await uploadFrom(from, options)
    if (!('next' in result)) return result.tail
    detours = result.hasSent ? 0 : detours + 1
    from = result.next
  }

  throw new Error(`the server asks for output from ${from} on, and then refuses it`)
}

type Result = {tail: Tail | undefined} | {next: number; hasSent: boolean}

async function uploadFrom(from: number, options: UploadOptions): Promise<Result> {
  const {spool, isClosing, ended, signal, onAcknowledged, keepsTail} = options
  const batch = Buffer.allocUnsafe(limits.outputBatch)
  let filled = 0
  let cursor = from
  /** Resolves with undefined if the control plane continues where the batch ends, or if the batch waits for the report. */
  const flush = async (length: number): Promise<Result | undefined> => {
    const mayWait = keepsTail && filled < batch.length
    const next = await options.send(
      wireForm(batch.subarray(0, length), options),
      cursor,
      length,
      mayWait ? ended : undefined,
    )
    if (next === undefined) return undefined
    onAcknowledged(next)
    if (next !== cursor + length) return {next, hasSent: cursor > from}
    cursor = next
    batch.copyWithin(0, length, filled)
    filled -= length
    return undefined
  }

  for await (const {bytes} of follow({path: spool, from, maxBytes: limits.outputBatch, ended, signal, settleMs})) {
    for (let at = 0; at < bytes.length;) {
      const copied = bytes.copy(batch, filled, at)
      filled += copied
      at += copied
      const lines = batch.lastIndexOf(newline, filled - 1) + 1
      if (keepsTail && isClosing() && filled < batch.length) continue
      const cut = lines > 0 ? lines : filled === batch.length ? cutWithinLine(batch, options) : 0
      const elsewhere = cut > 0 ? await flush(cut) : undefined
      if (elsewhere) return elsewhere
    }
  }

  if (filled === 0 || signal.aborted) return {tail: undefined}
  if (keepsTail) return {tail: {bytes: wireForm(batch.subarray(0, filled), options), offset: cursor, length: filled}}
  return (await flush(filled)) ?? {tail: undefined}
}

/** Where to cut a line that is longer than a batch: neither within a character nor within a secret. */
function cutWithinLine(bytes: Buffer, {redact}: UploadOptions): number {
  const end = characterEnd(bytes)
  if (!redact) return end
  const text = bytes.toString('utf8', 0, end)
  const length = redact.safeLength(text)
  const isWithinPair = /[\uD800-\uDBFF]/.test(text.charAt(length - 1))
  return Math.min(Buffer.byteLength(text.slice(0, isWithinPair ? length - 1 : length)) || end, end)
}

/** The end of the last complete UTF-8 character, so that a line over a batch is not split within one. */
function characterEnd(bytes: Buffer): number {
  for (let back = 1; back <= 3; back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return bytes.length
    if (byte >= 0xc0) {
      const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return size > back ? bytes.length - back : bytes.length
    }
  }

  return bytes.length
}

const wireForm = (bytes: Buffer, {redact}: UploadOptions) =>
  redact ? Buffer.from(redact(bytes.toString('utf8'))) : bytes
