import {isFinal} from '../../protocol/schemas.ts'
import type {EventStream} from '../streams/event-stream.ts'
import {batchChars, changesOf, keepStreamAlive} from '../streams/change-notices.ts'
import type {Parts} from '../dispatch/parts.ts'

/**
 * Sends a task's output as it comes, from piece `since` on, and `done` when there will be no more. Reads from the store
 * only what the reader has room for, so a slow one costs a position and no memory.
 */
export async function followOutput(parts: Parts, taskId: string, since: number, stream: EventStream): Promise<void> {
  const changes = changesOf(stream, (notice) => parts.hub.follow(taskId, notice))
  const keepAlive = keepStreamAlive(stream, parts.timings.keepAliveMs)
  try {
    let next = since
    while (!stream.closed.aborted) {
      await stream.drained()
      await parts.commits.settled() // nothing is shown that a crash could take back
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
