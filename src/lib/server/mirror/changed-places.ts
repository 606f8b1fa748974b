import {all, type Lease} from '../state/records.ts'
import type {Change} from '../state/decision.ts'
import type {State} from '../state/state.ts'
import type {MirrorPlace} from './mirror-places.ts'

/** Tells what changes concern. */
export class ChangedPlaces {
  /** The leases so far: the change that removes one does not say whose it was. */
  readonly #leases: Map<string, Lease>

  constructor(state: State) {
    this.#leases = new Map([...state.find('leases', all)].map((lease) => [lease.taskId, lease]))
  }

  /** `sweep`: it has or may have removed what cannot be named, so look for that. */
  of(change: Change): {places: MirrorPlace[]; sweep?: 'now' | 'later'} {
    switch (change.do) {
      case 'put':
      case 'update':
      case 'remove':
        return this.#ofRecord(change)
      case 'set-models':
        return {places: [{of: 'worker', id: change.workerId}]}
      case 'put-session': {
        const {owner, id} = change.session
        return {places: [sessionsOf(owner), {of: 'messages', id, codebaseId: owner}]}
      }
      case 'put-message':
        return {places: [{of: 'messages', id: change.message.session_id, codebaseId: change.message.owner}]}
      case 'keep-messages':
      case 'trim-messages':
        return {places: [{of: 'messages', id: change.sessionId, codebaseId: change.owner}]}
      case 'end-sync':
        return {places: [sessionsOf(change.owner)], sweep: 'later'} // there may have been too many
      case 'remove-owner':
        return {places: [sessionsOf(change.owner)], sweep: 'now'}
      case 'remove-sessions': {
        const codebaseId = change.owner
        if (change.which === 'others') return {places: [sessionsOf(codebaseId)], sweep: 'later'}
        const messages = change.ids.map((id) => ({of: 'messages', id, codebaseId}) as const)
        return {places: [sessionsOf(codebaseId), ...messages]}
      }
      case 'append-output':
      case 'audit':
      case 'maintain':
        return {places: []}
    }
  }

  #ofRecord(change: Extract<Change, {kind: unknown}>): {places: MirrorPlace[]} {
    const {kind, id} = change
    if (kind === 'worker') return {places: [{of: 'worker', id}, {of: 'workers'}]}
    if (kind === 'codebase') return {places: [{of: 'codebase', id}, {of: 'codebases'}]}
    if (kind === 'presence' || kind === 'connection') return {places: [{of: 'worker', id}]}
    if (kind !== 'lease') return {places: []}
    const former = this.#leases.get(id)
    if (change.do === 'remove') this.#leases.delete(id)
    else this.#leases.set(id, change.record)
    const held = [former, change.do === 'remove' ? undefined : change.record].filter((lease) => lease !== undefined)
    return {
      places: held.flatMap(({workerId, codebaseId}) => [
        {of: 'worker', id: workerId},
        {of: 'codebase', id: codebaseId},
      ]),
    }
  }
}

const sessionsOf = (owner: string) => ({of: 'sessions', id: owner}) as const
