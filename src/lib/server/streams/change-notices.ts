import type {OpenStreams} from '../limits/open-streams.ts'
import type {Log} from './activity-lines.ts'
import type {EventStream} from './event-stream.ts'
import type {Hub} from './hub.ts'

/** What a stream for a reader needs. */
export type Following = {hub: Hub; openStreams: OpenStreams; keepAliveMs: number; log: Log}

/** A reader that reads nothing for this many keep-alive intervals is disconnected. */
const maxUnreadIntervals = 8
/** Characters sent before the event loop gets a turn. */
export const batchChars = 256 * 1024

/** `next` resolves at the next change, or when the stream ends. A change since the last call resolves it at once. */
export function changeNotices(stream: EventStream, follow: (notice: () => void) => () => void) {
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

/** Sends a comment in each interval while the reader reads. */
export function startKeepAlive(stream: EventStream, everyMs: number): NodeJS.Timeout {
  let unread = 0
  return setInterval(() => {
    unread = stream.isReady ? 0 : unread + 1
    if (unread >= maxUnreadIntervals) stream.close()
    else if (unread === 0) stream.comment('keep-alive')
  }, everyMs)
}
