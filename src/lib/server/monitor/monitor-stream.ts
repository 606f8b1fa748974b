import {isoTime} from '../../core/clock.ts'
import type {EventStream} from '../streams/event-stream.ts'
import {changeNotices, startKeepAlive} from '../streams/change-notices.ts'
import type {Entry, MonitorLog} from '../streams/monitor-log.ts'
import type {State} from '../state/state.ts'
import {agentsOf} from './monitor-view.ts'

type Monitored = {monitor: MonitorLog; state: State}

/** Messages sent without a turn of the event loop in between. */
const batch = 200

/**
 * Streams the log after a given message: unnamed events, as the existing server sends them, and `agent_status` with all
 * workers when one has connected or disconnected. A slow reader misses what the log has dropped meanwhile.
 */
export async function followMonitor(
  options: Monitored & {keepAliveMs: number},
  stream: EventStream,
  after: number | undefined,
): Promise<void> {
  const {monitor, state, keepAliveMs} = options
  const changes = changeNotices(stream, (notice) => monitor.follow(notice))
  const keepAlive = startKeepAlive(stream, keepAliveMs)
  const send = (data: object, id?: string) => stream.send({event: 'message', data: JSON.stringify(data), id})
  try {
    send({type: 'connected', timestamp: isoTime(state.now)})
    sendAgents(options, stream)
    let at = Math.min(after ?? monitor.last, monitor.last) // the clock may have been set back meanwhile
    while (!stream.closed.aborted) {
      await stream.drained()
      if (stream.closed.aborted) return
      const entries = monitor.entries({after: at, limit: batch})
      for (const {n, message} of entries) {
        at = n
        send(message, message.id)
      }

      if (entries.some(isAboutWorkers)) sendAgents(options, stream)
      if (entries.length === 0) await changes.next()
    }
  } finally {
    changes.stop()
    clearInterval(keepAlive)
  }
}

const isAboutWorkers = ({message}: Entry) => message.type === 'system' && !('task_id' in message.metadata)

/** How many workers one event shows, those that were seen last. A list of all could be too long for the stream. */
const maxAgents = 1000

function sendAgents(monitored: Monitored, stream: EventStream): void {
  const newest = agentsOf(monitored).toSorted((a, b) => ((a.last_seen ?? '') < (b.last_seen ?? '') ? 1 : -1))
  stream.send({event: 'agent_status', data: JSON.stringify({agents: newest.slice(0, maxAgents)})})
}
