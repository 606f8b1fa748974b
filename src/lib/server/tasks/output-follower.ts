import {isFinal} from '../../protocol/schemas.ts'
import type {EventStream} from '../streams/event-stream.ts'
import {waitingFor} from '../rules/tasks/dialogue.ts'
import type {Plane} from '../plane/plane.ts'
import type {StoredTask} from '../state/records.ts'
import {batchChars, changeNotices, startKeepAlive, type Following} from '../streams/change-notices.ts'

/**
 * Streams a task's output from piece `since` on, `questions` when its agent asks something or no longer, and `done` when
 * the task has ended. It reads from the store only what
 * the reader can take, so a slow reader costs no memory.
 */
export async function followOutput(
  plane: Plane,
  {hub, keepAliveMs}: Following,
  {taskId, since, stream}: {taskId: string; since: number; stream: EventStream},
): Promise<void> {
  const changes = changeNotices(stream, (notice) => hub.follow(taskId, notice))
  const keepAlive = startKeepAlive(stream, keepAliveMs)
  try {
    let next = since
    let asked = '[]'
    while (!stream.closed.aborted) {
      await stream.drained()
      await plane.durable() // never show what a crash could undo
      if (stream.closed.aborted || !stream.isReady) continue
      const before = next
      next = sendBatch(plane, taskId, next, stream)
      if (next > before) continue
      asked = sendQuestions(plane, taskId, asked, stream)
      const status = plane.state.get('task', taskId)?.status ?? 'failed'
      if (isFinal(status)) {
        stream.send({event: 'done', data: JSON.stringify({status})})
        stream.end()
        return
      }

      await changes.next()
    }
  } finally {
    changes.stop()
    clearInterval(keepAlive)
  }
}

/** Sends the open questions if they are others than before. Returns them as text. */
function sendQuestions({state}: Plane, taskId: string, before: string, stream: EventStream): string {
  const task = state.get('task', taskId)
  const questions = task ? waitingFor(state, task) : []
  const asked = JSON.stringify(questions)
  if (asked !== before) stream.send({event: 'questions', data: JSON.stringify({waiting_for: questions})})
  return asked
}

function sendBatch(plane: Plane, taskId: string, since: number, stream: EventStream): number {
  const next = skipDropped(plane.state.get('task', taskId), since, stream)
  return sendOutput(plane, taskId, next, stream)
}

/** Tells the reader of output that was dropped before it could be sent. Resolves with where the output continues. */
function skipDropped(task: Readonly<StoredTask> | undefined, since: number, stream: EventStream): number {
  if (!task || since >= task.output_first) return since
  const data = {pieces: task.output_first - since, dropped_bytes: task.output_lost}
  stream.send({event: 'dropped', data: JSON.stringify(data), id: String(task.output_first)})
  return task.output_first
}

function sendOutput({views}: Plane, taskId: string, since: number, stream: EventStream): number {
  let next = since
  let chars = 0
  for (const {seq, ...chunk} of views.output.read(taskId, since)) {
    if (stream.closed.aborted || !stream.isReady || chars >= batchChars) break
    next = seq + 1
    chars += chunk.output.length
    stream.send({event: 'output', data: JSON.stringify(chunk), id: String(next)})
  }

  return next
}
