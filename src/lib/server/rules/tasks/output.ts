import {isFinal} from '../../../protocol/schemas.ts'
import {conflict, HttpError} from '../../http/http-error.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import {factsOf} from '../../state/facts.ts'
import type {StoredTask} from '../../state/records.ts'
import {recordContact} from '../dispatch/contact.ts'
import {isHeld, renew} from './task-life.ts'
import {requireTask} from '../dispatch/required.ts'

export type OutputInput = {
  worker_id: string
  output: string
  timestamp: string | null
  attempt: number | null
  offset: number | null
  length: number | null
}

/** The longest piece in one row, in UTF-16 units. Readers page by whole rows. */
const maxPiece = 128 * 1024

/** Stores output of the holder's current attempt, once and in order. Returns the offset of the next batch. */
export const takeOutput: Rule<OutputInput & {task_id: string}, number> = (draft, input) => {
  recordContact(draft, input.worker_id)
  const task = requireTask(draft, input.task_id)
  checkSender(task, input)
  renew(draft, task)
  const {offset, length} = input
  if (offset === null) return append(draft, task, input, task.output_next)
  const end = offset + (length ?? Buffer.byteLength(input.output))
  if (!Number.isSafeInteger(end)) throw new HttpError(400, 'offset and length are out of range')
  const next = task.output_next
  if (end <= next && offset < next) return next // a repeated batch: the first answer was lost
  if (offset !== next) throw conflict(`Output of task ${task.id} goes on at ${next}, not at ${offset}`, {next})
  return append(draft, task, input, end)
}

type Sender = Pick<OutputInput, 'worker_id' | 'attempt'>

/** Throws 409 unless the sender holds this attempt of the task. */
export function checkSender(
  task: Readonly<StoredTask>,
  {worker_id, attempt}: Sender,
  {taken, sent} = {taken: 'output', sent: 'output'},
): void {
  const next = task.output_next
  if (isFinal(task.status))
    throw conflict(`Task ${task.id} is already ${task.status}: it takes no more ${taken}`, {next})
  if (!isHeld(task)) throw conflict(`Task ${task.id} is pending: nobody holds it`, {next})
  if (task.worker_id !== worker_id)
    throw conflict(`Task ${task.id} is held by worker ${task.worker_id} (attempt ${task.attempt})`, {next})
  if (attempt && attempt !== task.attempt)
    throw conflict(`Task ${task.id} is at attempt ${task.attempt}; this is ${sent} of attempt ${attempt}`, {next})
}

function append(draft: Draft, task: Readonly<StoredTask>, input: OutputInput, end: number): number {
  const timestamp = input.timestamp ?? draft.timestamp
  const first = task.output_seq
  let seq = first
  for (const output of pieces(input.output)) {
    const place = seq === first ? {offset: input.offset, length: input.length} : {offset: null, length: null}
    const row = {task_id: task.id, seq, attempt: task.attempt, worker_id: input.worker_id, timestamp, output, ...place}
    draft.write({do: 'append-output', output: row})
    seq += 1
  }

  const fields = {output_seq: seq, output_next: end, output_dropped: 0}
  draft.update('task', task.id, fields, {output_chars: input.output.length})
  const facts = draft.get('task', task.id)
  if (facts) draft.emit({type: 'output', task: factsOf(facts), output: input.output})
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
