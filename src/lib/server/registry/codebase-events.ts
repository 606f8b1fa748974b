import {isoTime} from '../../core/clock.ts'
import {limits} from '../../protocol/limits.ts'
import {isFinal} from '../../protocol/schemas.ts'
import {shownCodebase} from './codebase-list.ts'
import {questionsOf} from '../tasks/waiting.ts'
import type {EventStream} from '../streams/event-stream.ts'
import type {Plane} from '../plane/plane.ts'
import type {StoredTask} from '../state/records.ts'
import {batchChars, changeNotices, startKeepAlive, type Following} from '../streams/change-notices.ts'

/** A reader's position: in the output of this task, before this piece. It is the id of each `output` event. */
export type Position = {taskId: string; since: number}

/** What was sent about a task. */
type Sent = {since: number; state: string | undefined}
/** For how many tasks that is remembered. The longest unchanged are forgotten. */
const maxSent = 1000

type CodebaseReader = {plane: Plane; following: Following; codebaseId: string; stream: EventStream}

/**
 * Streams the events of a codebase: `connected`, `status` when a task changes, `output`, and `message` with a task's
 * result. With `Last-Event-ID` a reader gets the output that it missed.
 */
export async function followCodebase(
  {plane, following, codebaseId, stream}: CodebaseReader,
  resumed?: Position,
): Promise<void> {
  const sent = new Map<string, Sent>()
  const changed = new Set<string>()
  const changes = changeNotices(stream, (notice) =>
    following.hub.followCodebase(codebaseId, (taskId) => {
      if (taskId !== undefined) changed.add(taskId)
      else if (!plane.state.get('codebase', codebaseId)) sendRemoved(codebaseId, stream)
      notice()
    }),
  )
  const keepAlive = startKeepAlive(stream, following.keepAliveMs)
  try {
    sendConnected(plane, codebaseId, stream)
    for (const [taskId, since] of startPositions(plane, codebaseId, resumed)) {
      sent.set(taskId, {since, state: undefined})
      changed.add(taskId)
    }

    while (!stream.isEnded) {
      await stream.drained()
      await plane.durable() // never show what a crash could undo
      if (stream.isEnded || !stream.isReady) continue
      const [taskId] = changed
      if (taskId === undefined) await changes.next()
      else if (sendTask(plane, taskId, stream, sent)) changed.delete(taskId)
    }
  } finally {
    changes.stop()
    clearInterval(keepAlive)
  }
}

function sendConnected({state}: Plane, codebaseId: string, stream: EventStream): void {
  const {status} = shownCodebase(state, codebaseId)
  const timestamp = isoTime(state.now)
  send(stream, 'connected', {codebase_id: codebaseId, status, timestamp})
}

function sendRemoved(codebaseId: string, stream: EventStream): void {
  send(stream, 'status', {codebase_id: codebaseId, status: 'removed'})
  stream.end()
}

/** Running tasks are streamed from now on, the reader's last task from its position, newer tasks from their start. */
function* startPositions(
  {state, views}: Plane,
  codebaseId: string,
  resumed: Position | undefined,
): Generator<[taskId: string, since: number]> {
  const known = resumed && state.get('task', resumed.taskId)
  const resumedTask = known?.codebase_id === codebaseId ? known : undefined
  if (resumedTask && resumed) yield [resumedTask.id, resumed.since]
  for (const {id, output_seq, started_at} of views.tasks.list({status: 'running', codebase_id: codebaseId})) {
    if (id === resumedTask?.id) continue
    const isNew = resumedTask !== undefined && (started_at ?? '') > (resumedTask.started_at ?? '')
    yield [id, isNew ? 0 : output_seq]
  }
}

/** Sends what is new about the task. Returns false if the reader could not take all of it. */
function sendTask(plane: Plane, taskId: string, stream: EventStream, sent: Map<string, Sent>): boolean {
  const task = plane.state.get('task', taskId)
  if (!task) return true
  // output of earlier attempts is not news
  const known = sent.get(taskId) ?? {since: task.attempt === 1 ? 0 : task.output_seq, state: undefined}
  sent.delete(taskId)
  sent.set(taskId, known)
  const [oldest] = sent.keys()
  if (sent.size > maxSent && oldest !== undefined) sent.delete(oldest)

  const isOver = isFinal(task.status)
  if (!isOver) sendStatus(plane, task, stream, known)
  if (!sendOutput(plane, task, stream, known)) return false
  if (isOver && sendStatus(plane, task, stream, known)) {
    const content = task.result?.slice(-limits.result) ?? null
    send(stream, 'message', {type: 'result', task_id: task.id, status: task.status, content, error: task.error})
  }

  return true
}

/** Returns false if this status was sent before. */
function sendStatus({state: now}: Plane, task: Readonly<StoredTask>, stream: EventStream, known: Sent): boolean {
  const {id, title, agent_type, worker_id, session_id, error, codebase_id, attempt} = task
  const {waiting_for = []} = questionsOf(task, now)
  const state = `${attempt} ${task.status} ${waiting_for.map((question) => question.id).join()}`
  if (known.state === state) return false
  known.state = state
  const {status} = shownCodebase(now, codebase_id)
  const shown = {
    task_id: id,
    title,
    agent_type,
    worker_id,
    session_id,
    attempt,
    task_status: task.status,
    error,
    waiting_for,
  }
  send(stream, 'status', {codebase_id, status, ...shown})
  return true
}

/** Returns false if the reader cannot take all of it now. */
function sendOutput({views}: Plane, {id}: Readonly<StoredTask>, stream: EventStream, known: Sent): boolean {
  let chars = 0
  for (const {seq, ...chunk} of views.output.read(id, known.since)) {
    if (stream.closed.aborted || !stream.isReady || chars >= batchChars) return false
    known.since = seq + 1
    chars += chunk.output.length
    send(stream, 'output', {task_id: id, ...chunk}, `${id}:${known.since}`)
  }

  return true
}

const send = (stream: EventStream, event: string, data: object, id?: string) =>
  stream.send({event, data: JSON.stringify(data), id})
