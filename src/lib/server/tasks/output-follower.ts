import {isFinal} from '../../protocol/schemas.ts'
import type {EventStream} from '../streams/event-stream.ts'
import {batchChars, changeNotices, startKeepAlive} from '../streams/change-notices.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {Store, StoredTask} from '../store/store.ts'

/**
 * Streams a task's output from piece `since` on, and `done` when the task has ended. It reads from the store only what
 * the reader can take, so a slow reader costs no memory.
 */
export async function followOutput(parts: Parts, taskId: string, since: number, stream: EventStream): Promise<void> {
  const changes = changeNotices(stream, (notice) => parts.hub.follow(taskId, notice))
  const keepAlive = startKeepAlive(stream, parts.timings.keepAliveMs)
  try {
    let next = since
    while (!stream.closed.aborted) {
      await stream.drained()
      await parts.commits.durable() // never show what a crash could undo
      if (stream.closed.aborted || !stream.isReady) continue
      const before = next
      next = sendBatch(parts, taskId, next, stream)
      if (next > before) continue
      const status = parts.store.tasks.get(taskId)?.status ?? 'failed'
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

function sendBatch({store}: Parts, taskId: string, since: number, stream: EventStream): number {
  const next = skipDropped(store.tasks.get(taskId), since, stream)
  return sendOutput(store, taskId, next, stream)
}

/** Tells the reader of output that was dropped before it could be sent. Resolves with where the output continues. */
function skipDropped(task: StoredTask | undefined, since: number, stream: EventStream): number {
  if (!task || since >= task.output_first) return since
  const data = {pieces: task.output_first - since, dropped_bytes: task.output_lost}
  stream.send({event: 'dropped', data: JSON.stringify(data), id: String(task.output_first)})
  return task.output_first
}

function sendOutput(store: Store, taskId: string, since: number, stream: EventStream): number {
  let next = since
  let chars = 0
  for (const {seq, ...chunk} of store.output.read(taskId, since)) {
    if (stream.closed.aborted || !stream.isReady || chars >= batchChars) break
    next = seq + 1
    chars += chunk.output.length
    stream.send({event: 'output', data: JSON.stringify(chunk), id: String(next)})
  }

  return next
}
