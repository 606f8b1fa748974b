import {isoTime} from '../../core/clock.ts'
import {isFinal} from '../../protocol/schemas.ts'
import {conflict, HttpError} from '../http/http-error.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'
import {makeRoom} from './output-room.ts'
import * as transitions from './transitions.ts'

export type OutputInput = {
  worker_id: string
  output: string
  timestamp: string | null
  attempt: number | null
  offset: number | null
  length: number | null
  /** It comes with the report of the run. */
  isLast?: boolean
}

/** The longest piece in one row, in UTF-16 units. Readers page by whole rows. */
const maxPiece = 128 * 1024

/** Stores output of the holder's current attempt, once and in order. Returns the offset of the next batch. */
export function acceptOutput(parts: Parts, task: StoredTask, input: OutputInput): number {
  checkSender(task, input)
  transitions.renew(parts, task)
  const {offset, length} = input
  if (offset === null) return append(parts, task, input, task.output_next)
  const end = offset + (length ?? Buffer.byteLength(input.output))
  if (!Number.isSafeInteger(end)) throw new HttpError(400, 'offset and length are out of range')
  const next = task.output_next
  if (end <= next && offset < next) return next // a repeated batch: the first answer was lost
  if (offset !== next) throw conflict(`Output of task ${task.id} goes on at ${next}, not at ${offset}`, {next})
  return append(parts, task, input, end)
}

function checkSender(task: StoredTask, {worker_id, attempt}: OutputInput): void {
  const next = task.output_next
  if (isFinal(task.status)) throw conflict(`Task ${task.id} is already ${task.status}: it takes no more output`, {next})
  if (task.status !== 'running') throw conflict(`Task ${task.id} is pending: nobody holds it`, {next})
  if (task.worker_id !== worker_id)
    throw conflict(`Task ${task.id} is held by worker ${task.worker_id} (attempt ${task.attempt})`, {next})
  if (attempt && attempt !== task.attempt)
    throw conflict(`Task ${task.id} is at attempt ${task.attempt}; this is output of attempt ${attempt}`, {next})
}

function append(parts: Parts, task: StoredTask, input: OutputInput, end: number): number {
  const {store, clock, commits, hub, monitor} = parts
  const {output_chars: charsBefore} = makeRoom(parts, task, input.output.length, input)
  const timestamp = input.timestamp ?? isoTime(clock.now())
  let seq = task.output_seq
  for (const piece of pieces(input.output)) {
    const isFirst = seq === task.output_seq
    store.output.append({
      task_id: task.id,
      seq,
      attempt: task.attempt,
      worker_id: input.worker_id,
      timestamp,
      output: piece,
      offset: isFirst ? input.offset : null,
      length: isFirst ? input.length : null,
    })
    seq += 1
  }

  const output_chars = charsBefore + input.output.length
  store.tasks.update(task.id, {output_seq: seq, output_next: end, output_chars, output_dropped: 0})
  commits.afterCommit(() => {
    hub.notifyFollowers(task)
    monitor.record({type: 'output', task, output: input.output})
  })
  return end
}

/** Splits a long text without splitting a surrogate pair. */
function* pieces(text: string): Generator<string> {
  for (let at = 0; at < text.length;) {
    let end = Math.min(at + maxPiece, text.length)
    if (end < text.length && /[\uD800-\uDBFF]/.test(text.charAt(end - 1))) end -= 1
    yield text.slice(at, end)
    at = end
  }
}
