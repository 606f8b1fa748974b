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
  /** Asked for each batch. */
  readonly redact: ((text: string) => string) | undefined
  /**
   * Sends the bytes that stand for `length` bytes of the spool at `offset`; resolves with where the server goes on:
   * behind them, or elsewhere if it knows more, or less, of the output than we do.
   */
  send: (bytes: Buffer, offset: number, length: number) => Promise<number>
  /** All up to here is acknowledged. */
  onAcknowledged: (cursor: number) => void
  /** The last batch is not sent but handed back, to go along with the report. */
  keepsTail: boolean
}

/** What stands for `length` bytes of the spool at `offset`. */
export type Tail = {bytes: Buffer; offset: number; length: number}

const newline = 10
/** The first line goes at once; of those that follow, what comes within this time goes together. */
const settleMs = 3

/** So often the server may want to go on elsewhere without having taken anything; then one of us is mistaken. */
const mostDetours = 10

/**
 * Brings a spool to the server: the first line at once, then what has gathered while a request was under way, in
 * order, a batch after the other, cut at line ends where a line fits. Resolves when all of it is acknowledged but for
 * the tail, if that was to be kept.
 *
 * After a crash the server may have more than we remember, and not up to the end of a batch that we would cut now: it
 * then says where it goes on, and so do we.
 */
export async function relay(options: RelayOptions): Promise<Tail | undefined> {
  let from = options.from
  for (let detours = 0; detours < mostDetours;) {
    const stage = await relayFrom(from, options)
    if (!('next' in stage)) return stage.tail
    detours = stage.hasSent ? 0 : detours + 1
    from = stage.next
  }

  throw new Error(`the server goes on at ${from}, and then does not`)
}

type Stage = {tail: Tail | undefined} | {next: number; hasSent: boolean}

async function relayFrom(from: number, options: RelayOptions): Promise<Stage> {
  const {spool, isClosing, ended, signal, onAcknowledged, keepsTail} = options
  const batch = Buffer.allocUnsafe(limits.outputBatch)
  let held = 0
  let cursor = from
  /** Undefined: all of it is there, and what follows is what we have next. */
  const flush = async (length: number): Promise<Stage | undefined> => {
    const next = await options.send(wireForm(batch.subarray(0, length), options), cursor, length)
    onAcknowledged(next)
    if (next !== cursor + length) return {next, hasSent: cursor > from}
    cursor = next
    batch.copyWithin(0, length, held)
    held -= length
    return undefined
  }

  for await (const {bytes} of follow({path: spool, from, maxBytes: limits.outputBatch, ended, signal, settleMs})) {
    for (let at = 0; at < bytes.length;) {
      const taken = bytes.copy(batch, held, at)
      held += taken
      at += taken
      const whole = batch.lastIndexOf(newline, held - 1) + 1
      if (keepsTail && isClosing() && held < batch.length) continue
      const cut = whole > 0 ? whole : held === batch.length ? characterEnd(batch) : 0
      const elsewhere = cut > 0 ? await flush(cut) : undefined
      if (elsewhere) return elsewhere
    }
  }

  if (held === 0 || signal.aborted) return {tail: undefined}
  if (keepsTail) return {tail: {bytes: wireForm(batch.subarray(0, held), options), offset: cursor, length: held}}
  return (await flush(held)) ?? {tail: undefined}
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

const wireForm = (bytes: Buffer, {redact}: RelayOptions) =>
  redact ? Buffer.from(redact(bytes.toString('utf8'))) : bytes
