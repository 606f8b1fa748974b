import * as v from 'valibot'
import type {MonitorMessage} from '../../protocol/monitor-schemas.ts'
import type {Entry} from '../streams/monitor-log.ts'
import {readCursor, readLimit, toCursor} from '../http/paging.ts'
import {all} from '../state/records.ts'
import type {State} from '../state/state.ts'
import type {MonitorLog} from '../streams/monitor-log.ts'

type Monitored = {monitor: MonitorLog}
type MonitoredState = Monitored & {state: State}
import {inOrder, wireWorker} from '../registry/registry-view.ts'

const defaultLimit = 100
/** Entries searched before the event loop gets a turn. */
const batch = 500

export type LogQuery = {type?: string | undefined; limit?: string | undefined; cursor?: string | undefined}

/** The newest messages, oldest of them first. The cursor leads to older ones. */
export function listMessages({monitor}: Monitored, {type, limit, cursor}: LogQuery) {
  const [before = Number.POSITIVE_INFINITY] = readCursor(cursor, v.tuple([v.number()])) ?? []
  const all = monitor.entries().filter((entry) => entry.n < before && isOf(type, entry))
  const page = all.slice(-readLimit(limit, defaultLimit))
  const [oldest] = page
  const next = oldest && page.length < all.length ? toCursor([oldest.n]) : undefined
  return {messages: page.map(({message}) => message), next}
}

export const countMessages = ({monitor}: Monitored, type: string | undefined) =>
  monitor.entries().filter((entry) => isOf(type, entry)).length

/** The newest messages that contain the text, ignoring case, oldest of them first. */
export async function searchMessages({monitor}: Monitored, text: string, {type, limit}: LogQuery) {
  const wanted = text.toLowerCase()
  const max = readLimit(limit, defaultLimit)
  const entries = monitor.entries().toReversed()
  const found: MonitorMessage[] = []
  for (const [index, entry] of entries.entries()) {
    if (found.length >= max) break
    if (index % batch === batch - 1) await new Promise(setImmediate)
    const {content, agent_name, error} = entry.message
    if (isOf(type, entry) && [content, agent_name, error ?? ''].some((part) => part.toLowerCase().includes(wanted)))
      found.push(entry.message)
  }

  return found.toReversed()
}

const isOf = (type: string | undefined, {message}: Entry) => !type || message.type === type

/** Counters since the control plane started. Times are in milliseconds. */
export function statsOf({monitor, state}: MonitoredState) {
  const {messages, toolCalls, errors, tokens, ended, totalMs, interventions} = monitor.counted
  return {
    total_messages: messages,
    tool_calls: toolCalls,
    errors,
    tokens,
    avg_response_time: ended === 0 ? 0 : Math.round(totalMs / ended),
    active_agents: agentsOf({monitor, state}).filter(({status}) => status === 'active').length,
    interventions,
  }
}

/** The workers, in the form that the monitoring API calls agents. `only` restricts them to one. */
export function agentsOf({monitor, state}: MonitoredState, only?: string) {
  const workers = inOrder(state.find('workers', all))
  const shown = only === undefined ? workers : workers.filter(({worker_id}) => worker_id === only)
  return shown.map((worker) => {
    const {worker_id: id, name, status, last_seen} = wireWorker(state, worker)
    return {id, name, status, messages_count: monitor.activityOf(id)?.messages ?? 0, last_seen}
  })
}
