import {isoTime} from '../../core/clock.ts'
import {limits} from '../../protocol/limits.ts'
import {isFinal} from '../../protocol/schemas.ts'
import {shownCodebase} from './codebase-list.ts'
import type {EventStream} from '../streams/event-stream.ts'
import {batchChars, changesOf, keepStreamAlive} from '../streams/change-notices.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {StoredTask} from '../store/store.ts'

/** Where a reader was: in the output of this task, before this piece. It is the id of each `output` event. */
export type Position = {taskId: string; since: number}

/** What the reader has been told of a task. */
type Told = {since: number; state: string | undefined}
/** Of so many tasks it is remembered: those that changed last. */
const maxTold = 1000

/**
 * Tells what happens in a codebase: `connected`, `status` when a task of it changes, `output` as it comes, `message`
 * with a task's result. Output that came while a reader was away is sent when it comes back with `Last-Event-ID`.
 */
export async function followCodebase(
  parts: Parts,
  codebaseId: string,
  stream: EventStream,
  resumed?: Position,
): Promise<void> {
  const told = new Map<string, Told>()
  const changed = new Set<string>()
  const changes = changesOf(stream, (notice) =>
    parts.hub.followCodebase(codebaseId, (taskId) => {
      if (taskId !== undefined) changed.add(taskId)
      else if (!parts.store.registry.codebase(codebaseId)) sayGoodbye(codebaseId, stream)
      notice()
    }),
  )
  const keepAlive = keepStreamAlive(stream, parts.timings.keepAliveMs)
  try {
    greet(parts, codebaseId, stream)
    for (const [taskId, since] of whereToBegin(parts, codebaseId, resumed)) {
      told.set(taskId, {since, state: undefined})
      changed.add(taskId)
    }

    while (!stream.isEnded) {
      await stream.drained()
      await parts.commits.settled() // nothing is shown that a crash could take back
      if (stream.isEnded || !stream.isReady) continue
      const [taskId] = changed
      if (taskId === undefined) await changes.next()
      else if (tellTask(parts, taskId, stream, told)) changed.delete(taskId)
    }
  } finally {
    changes.stop()
    clearInterval(keepAlive)
  }
}

function greet(parts: Parts, codebaseId: string, stream: EventStream): void {
  const {status} = shownCodebase(parts, codebaseId)
  const timestamp = isoTime(parts.clock.now())
  send(stream, 'connected', {codebase_id: codebaseId, status, timestamp})
}

function sayGoodbye(codebaseId: string, stream: EventStream): void {
  send(stream, 'status', {codebase_id: codebaseId, status: 'removed'})
  stream.end()
}

/** Running tasks from now on; the one that the reader was at from where it was, and what began after it from its start. */
function* whereToBegin(
  {store}: Parts,
  codebaseId: string,
  resumed: Position | undefined,
): Generator<[taskId: string, since: number]> {
  const known = resumed && store.tasks.get(resumed.taskId)
  const at = known?.codebase_id === codebaseId ? known : undefined
  if (at && resumed) yield [at.id, resumed.since]
  for (const {id, output_seq, started_at} of store.tasks.list({status: 'running', codebase_id: codebaseId})) {
    if (id === at?.id) continue
    const isNew = at !== undefined && (started_at ?? '') > (at.started_at ?? '')
    yield [id, isNew ? 0 : output_seq]
  }
}

/** Tells what the reader does not know of the task yet. False when it had no room for all of it. */
function tellTask(parts: Parts, taskId: string, stream: EventStream, told: Map<string, Told>): boolean {
  const task = parts.store.tasks.get(taskId)
  if (!task) return true
  // of one that is run again, what it printed before it was heard of is no news
  const known = told.get(taskId) ?? {since: task.attempt === 1 ? 0 : task.output_seq, state: undefined}
  told.delete(taskId)
  told.set(taskId, known)
  const [oldest] = told.keys()
  if (told.size > maxTold && oldest !== undefined) told.delete(oldest)

  const isOver = isFinal(task.status)
  if (!isOver) tellStatus(parts, task, stream, known)
  if (!sendOutput(parts, task, stream, known)) return false
  if (isOver && tellStatus(parts, task, stream, known)) {
    const content = task.result?.slice(-limits.result) ?? null
    send(stream, 'message', {type: 'result', task_id: task.id, status: task.status, content, error: task.error})
  }

  return true
}

/** False when it was told before. */
function tellStatus(parts: Parts, task: StoredTask, stream: EventStream, known: Told): boolean {
  const {id, title, agent_type, worker_id, session_id, error, codebase_id, attempt} = task
  const state = `${attempt} ${task.status}`
  if (known.state === state) return false
  known.state = state
  const {status} = shownCodebase(parts, codebase_id)
  const shown = {task_id: id, title, agent_type, worker_id, session_id, attempt, task_status: task.status, error}
  send(stream, 'status', {codebase_id, status, ...shown})
  return true
}

/** False when there is more than the reader has room for. */
function sendOutput({store}: Parts, {id}: StoredTask, stream: EventStream, known: Told): boolean {
  let chars = 0
  for (const {seq, ...chunk} of store.output.read(id, known.since)) {
    if (stream.closed.aborted || !stream.isReady || chars >= batchChars) return false
    known.since = seq + 1
    chars += chunk.output.length
    send(stream, 'output', {task_id: id, ...chunk}, `${id}:${known.since}`)
  }

  return true
}

const send = (stream: EventStream, event: string, data: object, id?: string) =>
  stream.send({event, data: JSON.stringify(data), id})
