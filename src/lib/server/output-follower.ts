import {isFinal} from '../protocol/schemas.ts'
import type {EventStream} from './event-stream.ts'
import type {Parts} from './parts.ts'

/** A reader that takes nothing for this many keep-alive intervals is let go. */
const patience = 8
/** Written without a pause between; then others have their turn. */
const batchChars = 256 * 1024

/**
 * Sends a task's output as it comes, from piece `since` on, and `done` when there will be no more. Reads from the store
 * only what the reader has room for, so a slow one costs a position and no memory.
 */
export async function followOutput(parts: Parts, taskId: string, since: number, stream: EventStream): Promise<void> {
  const changes = changesOf(parts, taskId, stream)
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

/** `next` resolves at the next change, at once if there was one since it was last asked, or when the stream ends. */
function changesOf({hub}: Parts, taskId: string, stream: EventStream) {
  let isChanged = false
  let wake = () => {}
  const notice = () => {
    isChanged = true
    wake()
  }
  const unfollow = hub.follow(taskId, notice)
  stream.closed.addEventListener('abort', notice)
  return {
    async next(): Promise<void> {
      if (!isChanged) await new Promise<void>((resolve) => (wake = resolve))
      isChanged = false
    },
    stop: unfollow,
  }
}

function keepStreamAlive(stream: EventStream, everyMs: number): NodeJS.Timeout {
  let unread = 0
  return setInterval(() => {
    unread = stream.isReady ? 0 : unread + 1
    if (unread >= patience) stream.close()
    else if (unread === 0) stream.comment('keep-alive')
  }, everyMs)
}
