import {limits} from '../../protocol/limits.ts'
import type {Plane} from '../plane/plane.ts'
import {wireCodebase, wireWorker} from '../registry/registry-view.ts'
import {codebaseOfOwner} from '../rules/registry/session-owners.ts'
import {listSessions} from '../sessions/session-view.ts'
import {all} from '../state/records.ts'
import type {MirrorValue} from './mirror-script.ts'

/** Something that the existing server writes to a key of its own. */
export type MirrorPlace =
  | {of: 'workers' | 'codebases'}
  | {of: 'worker' | 'codebase' | 'sessions'; id: string}
  | {of: 'messages'; id: string; codebaseId: string}
  /** A key for which there is nothing any more. */
  | {of: 'nothing'; key: string}

/** As many as one page of the routes has. */
const limit = 1000
/** Sessions that are read before others get a turn. */
const sessionsAtOnce = 500

export function mirrorKey(place: MirrorPlace): string {
  switch (place.of) {
    case 'workers':
    case 'codebases':
      return `a2a:opencode:${place.of}:index`
    case 'worker':
      return `a2a:opencode:workers:${place.id}`
    case 'codebase':
      return `a2a:opencode:codebases:${place.id}:meta`
    case 'sessions':
      return `a2a:opencode:codebases:${place.id}:sessions`
    case 'messages':
      return `a2a:opencode:sessions:${place.id}:messages`
    case 'nothing':
      return place.key
  }
}

/** What is there at present: what the routes answer. */
export function mirrorValue(plane: Plane, place: MirrorPlace): MirrorValue {
  const {state, views} = plane
  switch (place.of) {
    case 'workers':
      return [...state.find('workers', all)].map(({worker_id}) => worker_id)
    case 'codebases':
      return [...state.find('codebases', all)].map(({id}) => id)
    case 'worker': {
      const worker = state.get('worker', place.id)
      if (!worker || worker.unregistered_at !== null) return undefined
      return JSON.stringify(wireWorker(state, worker, views.models(place.id).get(place.id)))
    }
    case 'codebase': {
      const codebase = state.get('codebase', place.id)
      return codebase && JSON.stringify(wireCodebase(state, codebase))
    }
    case 'sessions': {
      const codebase = state.get('codebase', place.id)
      if (!codebase) return undefined
      const {sessions, synced_at} = listSessions(plane, {codebaseId: place.id, only: undefined}, {limit: String(limit)})
      if (synced_at === null) return undefined
      return entry(codebase.worker_id, synced_at, {sessions: JSON.stringify(sessions)})
    }
    case 'messages': {
      if (!state.get('codebase', place.codebaseId)) return undefined
      const session = views.sessions.get([place.codebaseId], place.id)
      if (!session) return undefined
      return entry(session.worker_id, views.sessions.lastSyncAt([place.codebaseId]), {
        messages: messagesOf(plane, place),
      })
    }
    case 'nothing':
      return undefined
  }
}

/** `content`: names and their values as JSON. */
function entry(worker_id: string, updated_at: string | null, content: Record<string, string>): string {
  const fields = {worker_id: JSON.stringify(worker_id), updated_at: JSON.stringify(updated_at), ...content}
  return `{${Object.entries(fields)
    .map(([name, json]) => `"${name}":${json}`)
    .join(',')}}`
}

/** A page of the newest messages, as JSON. They are stored as JSON, and may be long, so they are not read. */
function messagesOf({views}: Plane, {id, codebaseId}: {id: string; codebaseId: string}): string {
  const found: string[] = []
  let bytes = 0
  for (const {data} of views.sessions.messages(codebaseId, id)) {
    bytes += Buffer.byteLength(data)
    if (found.length > 0 && (found.length >= limit || bytes > limits.page)) break
    found.push(data)
  }

  return `[${found.toReversed().join(',')}]`
}

/** Workers and codebases, whose status changes with time, too. */
export function registryPlaces({state}: Plane): MirrorPlace[] {
  const workers = [...state.find('workers', all)].map(({worker_id: id}) => ({of: 'worker', id}) as const)
  const codebases = [...state.find('codebases', all)].map(({id}) => ({of: 'codebase', id}) as const)
  return [{of: 'workers'}, {of: 'codebases'}, ...workers, ...codebases]
}

/** All there is. Sessions outside codebases have no key: several workers may have some. */
export async function allPlaces(plane: Plane): Promise<MirrorPlace[]> {
  const codebases = [...plane.state.find('codebases', all)]
  const places = [...registryPlaces(plane), ...codebases.map(({id}) => ({of: 'sessions', id}) as const)]
  let after: {updated_at: string; id: string; owner: string} | undefined
  for (;;) {
    let found = 0
    for (const {updated_at, id, owner} of plane.views.sessions.list('all', {after})) {
      if (codebaseOfOwner(owner) === owner) places.push({of: 'messages', id, codebaseId: owner})
      after = {updated_at, id, owner}
      if ((found += 1) === sessionsAtOnce) break
    }
    if (found < sessionsAtOnce) return places
    await new Promise(setImmediate)
  }
}
