import {isoTime} from '../../core/clock.ts'
import type {EventStream} from '../streams/event-stream.ts'
import {changesOf, keepStreamAlive} from '../streams/change-notices.ts'
import type {Parts} from '../dispatch/parts.ts'
import type {Entry} from '../streams/monitor-log.ts'
import {agentsOf} from './monitor-view.ts'

/** Sent without a pause between; then others have their turn. */
const batch = 200

/**
 * Sends the log as it grows, from after this message on: unnamed events, as the existing server has them, and
 * `agent_status` with the workers when one of them has come or gone. A reader that is slow misses what the log forgets
 * meanwhile; it keeps nobody waiting.
 */
export async function followMonitor(parts: Parts, stream: EventStream, after: number | undefined): Promise<void> {
  const {monitor, clock} = parts
  const changes = changesOf(stream, (notice) => monitor.follow(notice))
  const keepAlive = keepStreamAlive(stream, parts.timings.keepAliveMs)
  const tell = (data: object, id?: string) => stream.send({event: 'message', data: JSON.stringify(data), id})
  try {
    tell({type: 'connected', timestamp: isoTime(clock.now())})
    tellAgents(parts, stream)
    let at = Math.min(after ?? monitor.last, monitor.last) // a clock may have been put back meanwhile
    while (!stream.closed.aborted) {
      await stream.drained()
      if (stream.closed.aborted) return
      const entries = monitor.entries({after: at, limit: batch})
      for (const {n, message} of entries) {
        at = n
        tell(message, message.id)
      }

      if (entries.some(isAboutWorkers)) tellAgents(parts, stream)
      if (entries.length === 0) await changes.next()
    }
  } finally {
    changes.stop()
    clearInterval(keepAlive)
  }
}

const isAboutWorkers = ({message}: Entry) => message.type === 'system' && !('task_id' in message.metadata)

function tellAgents(parts: Parts, stream: EventStream): void {
  stream.send({event: 'agent_status', data: JSON.stringify({agents: agentsOf(parts)})})
}
