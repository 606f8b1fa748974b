import {isPathDecline} from '../../../protocol/declines.ts'
import type {Change} from '../../state/decision.ts'
import {all, type Backoff, type Lease} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {silentMs} from './contact.ts'
import {profileOf} from './roster.ts'

const never = Number.POSITIVE_INFINITY
/** Workers that were asked to register a path may leave at any time, so that is looked at this often. */
const registrationCheckMs = 2000

/** When something is due next, on the lease clock. Infinity: never. It may be earlier than anything really is. */
export function nextDue(state: State): number {
  let due = never
  for (const lease of state.find('leases', all)) due = Math.min(due, leaseEnds(state, lease))
  for (const {until} of state.find('offers', all)) due = Math.min(due, until)
  for (const {handedOutUntil} of state.find('polled', all)) if (handedOutUntil > 0) due = Math.min(due, handedOutUntil)
  for (const backoff of state.find('backoffs', all)) due = Math.min(due, backoffEnds(state, backoff))
  return due
}

/** The same for what these changes have put. */
export function dueAfter(state: State, changes: readonly Change[]): number {
  let due = never
  for (const change of changes) {
    if (change.do !== 'put' && change.do !== 'update') continue
    if (change.kind === 'lease') due = Math.min(due, leaseEnds(state, change.record))
    else if (change.kind === 'offer') due = Math.min(due, change.record.until)
    else if (change.kind === 'backoff') due = Math.min(due, backoffEnds(state, change.record))
    else if (change.kind === 'polled' && change.record.handedOutUntil > 0)
      due = Math.min(due, change.record.handedOutUntil)
  }
  return due
}

/** When a lease must be looked at. */
function leaseEnds(state: State, lease: Lease): number {
  const cancelled = lease.cancelledAt ?? never
  if (lease.isLost) return Math.min(cancelled, lease.failsAt ?? never)
  const hasLeases = profileOf(state, lease.workerId).hasLeases
  return Math.min(cancelled, hasLeases ? lease.until : silenceEnds(state, lease))
}

function backoffEnds(state: State, {isOver, until, reason}: Backoff): number {
  const again = isOver ? never : until
  return isPathDecline(reason) ? Math.min(again, state.time + registrationCheckMs) : again
}

/** When a worker without leases will have been silent, or in doubt, for too long. */
function silenceEnds(state: State, {workerId, doubtfulSince}: Lease): number {
  const {silentWorkerMs} = state.policy
  const isConnected = state.get('connection', workerId) !== undefined
  const silent = isConnected ? state.time + silentWorkerMs : state.time - silentMs(state, workerId) + silentWorkerMs
  return Math.min(silent, doubtfulSince === undefined ? never : doubtfulSince + silentWorkerMs)
}
