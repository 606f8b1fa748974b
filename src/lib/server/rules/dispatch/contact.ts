import type {Draft} from '../../state/draft.ts'
import {isoTime} from '../../../core/clock.ts'
import type {Presence, StoredWorker} from '../../state/records.ts'
import type {State} from '../../state/state.ts'

/** Records that a worker is alive. Called for any request that names it; only registered workers are recorded. */
export function recordContact(draft: Draft, workerId: string): void {
  if (draft.get('worker', workerId)) notePresence(draft, workerId, {})
}

/** Sets what is known of a worker at present. */
export function notePresence(draft: Draft, workerId: string, news: Partial<Presence>): void {
  const seen = {lastContact: draft.time, lastSeen: draft.now, ...news}
  if (draft.get('presence', workerId)) draft.update('presence', workerId, seen)
  else draft.put('presence', workerId, {workerId, ...nothingKnown, ...seen})
}

const nothingKnown = {address: undefined, syncedAt: undefined, capacity: undefined, pauseReason: null, modelsNote: null}

/** How long a worker has made no request, in ms. For one not seen: since the control plane has started. */
export const silentMs = (state: State, workerId: string): number =>
  state.time - (state.get('presence', workerId)?.lastContact ?? state.startedAt)

/** Closes the open stream of a worker. Nothing is given to it by that stream any more. */
export function closeStream(draft: Draft, workerId: string): void {
  const connection = draft.get('connection', workerId)
  if (!connection) return
  draft.emit({type: 'close-stream', workerId, connectionId: connection.connectionId})
  draft.remove('connection', workerId)
}

/** When the worker made its last request, as text. */
export function lastSeenOf(state: State, {worker_id, last_seen}: Readonly<StoredWorker>): string {
  const seen = state.get('presence', worker_id)?.lastSeen
  const text = seen === undefined ? last_seen : isoTime(seen)
  return text > last_seen ? text : last_seen
}
