import {limits} from '../protocol/limits.ts'
import {follow} from './follow.ts'

export type RelayOptions = {
  spool: string
  /** What was acknowledged before, in bytes of the spool. */
  from: number
  /** Whether the agent has gone: what is not on its way yet then waits for the end, where a tail is kept. */
  isClosing: () => boolean
  /** Fires when nothing is written to the spool any more. */
  ended: AbortSignal
  /** Fires to give up; what was not sent stays in the spool. */
  signal: AbortSignal
  redact: ((text: string) => string) | undefined
  /**
   * Sends the bytes that stand for `length` bytes of the spool at `offset`; resolves once the server has them, with how
   * many of the spool's it had before, if it had some of these: the rest is then sent by itself.
   */
  send: (bytes: Buffer, offset: number, length: number) => Promise<number | undefined>
  /** All up to here is acknowledged. */
  onAcknowledged: (cursor: number) => void
  /** The last batch is not sent but handed back, to go along with the report. */
  keepsTail: boolean
}

/** What stands for `length` bytes of the spool at `offset`; `after` is the same without what is before a position. */
export type Tail = {bytes: Buffer; offset: number; length: number; after: (position: number) => Tail}

const newline = 10
/** The first line goes at once; of those that follow, what comes within this time goes together. */
const settleMs = 3

/**
 * Brings a spool to the server: the first line at once, then what has gathered while a request was under way, in
 * order, a batch after the other, cut at line ends where a line fits. Resolves when all of it is acknowledged but for
 * the tail, if that was to be kept.
 */
export async function relay(options: RelayOptions): Promise<Tail | undefined> {
  const {spool, from, isClosing, ended, signal, onAcknowledged, keepsTail} = options
  const batch = Buffer.allocUnsafe(limits.outputBatch)
  let held = 0
  let cursor = from
  const flush = async (length: number) => {
    for (let left = length; left > 0;) {
      const known = await options.send(wireForm(batch.subarray(0, left), options), cursor, left)
      const done = known ?? left
      cursor += done
      left -= done
      batch.copyWithin(0, done, held)
      held -= done
      onAcknowledged(cursor)
    }
  }

  for await (const {bytes} of follow({path: spool, from, maxBytes: limits.outputBatch, ended, signal, settleMs})) {
    for (let at = 0; at < bytes.length;) {
      const taken = bytes.copy(batch, held, at)
      held += taken
      at += taken
      const whole = batch.lastIndexOf(newline, held - 1) + 1
      if (keepsTail && isClosing() && held < batch.length) continue
      if (whole > 0) await flush(whole)
      else if (held === batch.length) await flush(characterEnd(batch))
    }
  }

  if (held === 0 || signal.aborted) return undefined
  if (keepsTail) return tailOf(batch.subarray(0, held), cursor, options)
  await flush(held)
  return undefined
}

/** Where the last whole UTF-8 character ends, so that a line over a batch is not cut within one. */
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

const tailOf = (spooled: Buffer, offset: number, options: RelayOptions): Tail => ({
  bytes: wireForm(spooled, options),
  offset,
  length: spooled.length,
  after: (position) => tailOf(spooled.subarray(position - offset), position, options),
})

const wireForm = (bytes: Buffer, {redact}: RelayOptions) =>
  redact ? Buffer.from(redact(bytes.toString('utf8'))) : bytes
