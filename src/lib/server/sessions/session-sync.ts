import {limits} from '../../protocol/limits.ts'
import type {MessageInput, SessionInput} from '../../protocol/session-schemas.ts'
import {
  endMessageSync,
  endSessionSync,
  prepareMessage,
  putMessages,
  putSessions,
} from '../rules/registry/sync-sessions.ts'
import type {Plane} from '../plane/plane.ts'

type Place = {worker_id: string; codebase_id: string}

/** Stores a worker's list of a codebase's sessions, or the changes in it. */
export async function syncSessions(
  plane: Plane,
  place: Place,
  sync: {sessions: SessionInput[]; partial: boolean; deleted: string[]},
): Promise<void> {
  const sessions = newest(sync.sessions)
  const weigh = (item: SessionInput) => ({item, weight: sessionWeight})
  for await (const batch of batches(sessions, weigh)) await plane.run(putSessions, {...place, sessions: batch})
  const {partial, deleted} = sync
  await plane.run(endSessionSync, {...place, ids: sessions.map(({id}) => id), partial, deleted})
}

/** Stores the messages of a session, or the changed ones. The session need not be listed yet. */
export async function syncMessages(
  plane: Plane,
  place: Place & {session_id: string},
  sync: {messages: MessageInput[]; partial: boolean},
): Promise<void> {
  const messages = sync.messages.slice(-limits.messages)
  const weigh = (message: MessageInput) => {
    const item = prepareMessage(place.session_id, message)
    return {item, weight: item.data.length}
  }
  for await (const batch of batches(messages, weigh)) await plane.run(putMessages, {...place, messages: batch})
  await plane.run(endMessageSync, {...place, messages, partial: sync.partial})
}

/** About how many bytes are written per turn of the event loop. */
const batchWeight = 1024 * 1024
const sessionWeight = 4096

/** What is stored, in batches, one per turn of the event loop. The owner may change or disappear between them. */
async function* batches<From, To>(
  items: readonly From[],
  weigh: (item: From) => {item: To; weight: number},
): AsyncGenerator<To[]> {
  for (let next = 0; next < items.length;) {
    if (next > 0) await new Promise(setImmediate)
    const batch: To[] = []
    for (let total = 0; total < batchWeight && next < items.length; next++) {
      const {item, weight} = weigh(items[next] as From)
      batch.push(item)
      total += weight
    }

    yield batch
  }
}

/** The newest sessions, as many as are stored. */
function newest(sessions: SessionInput[]): SessionInput[] {
  if (sessions.length <= limits.sessions) return sessions
  const timeOf = ({updated, updated_at}: SessionInput) => updated ?? updated_at ?? ''
  return sessions.toSorted((a, b) => (timeOf(a) < timeOf(b) ? 1 : -1)).slice(0, limits.sessions)
}
