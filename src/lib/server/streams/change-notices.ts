import type {EventStream} from './event-stream.ts'

/** A reader that takes nothing for this many keep-alive intervals is let go. */
const patience = 8
/** Written without a pause between; then others have their turn. */
export const batchChars = 256 * 1024

/** `next` resolves at the next change, at once if there was one since it was last asked, or when the stream ends. */
export function changesOf(stream: EventStream, follow: (notice: () => void) => () => void) {
  let isChanged = false
  let wake = () => {}
  const notice = () => {
    isChanged = true
    wake()
  }
  const stop = follow(notice)
  stream.closed.addEventListener('abort', notice)
  return {
    async next(): Promise<void> {
      if (!isChanged) await new Promise<void>((resolve) => (wake = resolve))
      isChanged = false
    },
    stop,
  }
}

/** A comment every so often, as long as the reader takes what is sent. */
export function keepStreamAlive(stream: EventStream, everyMs: number): NodeJS.Timeout {
  let unread = 0
  return setInterval(() => {
    unread = stream.isReady ? 0 : unread + 1
    if (unread >= patience) stream.close()
    else if (unread === 0) stream.comment('keep-alive')
  }, everyMs)
}
