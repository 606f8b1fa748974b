import {mayActAs, type Bindings, type Identity} from '../../http/auth.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import type {State} from '../../state/state.ts'
import {recordContact} from '../dispatch/contact.ts'

/** What the state knows about the tokens of workers. */
export const bindingsIn = (state: State): Bindings => ({
  binding: (token) => state.get('binding', token)?.worker_id,
  tokensBoundTo: (workerId) => [...state.find('bindingsOf', workerId)].map(({token}) => token),
  worker: (id) => state.get('worker', id),
})

type Actor = {workerId: string; machineId?: string | null; by: string | null}

/**
 * Checks that a token may act for this worker, and binds a worker's token that belongs to no worker yet. Throws 403.
 */
export function actAs(draft: Draft, identity: Identity | undefined, {workerId, machineId = null, by}: Actor): void {
  if (!mayActAs(identity, workerId, bindingsIn(draft), {registers: true, machineId}) || !identity) return
  draft.put('binding', identity.hash, {token: identity.hash, worker_id: workerId})
  draft.audit('token.bound', {who: by, worker_id: workerId})
}

/** Records the first use of a token, by its hash. */
export const recordTokenUse: Rule<{hash: string; name: string; scope: string}, void> = (draft, {hash, name, scope}) => {
  if (draft.get('usedToken', hash)) return
  draft.put('usedToken', hash, {token: hash})
  draft.audit('token.first-used', {who: name, detail: `a token of scope ${scope}`})
}

/** Admits a worker that opens its task stream. Throws 403. */
export const admitWorker: Rule<{identity: Identity | undefined; workerId: string; by: string | null}, void> = (
  draft,
  {identity, workerId, by},
) => {
  actAs(draft, identity, {workerId, by})
  recordContact(draft, workerId)
}
