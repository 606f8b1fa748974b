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

function backoffEnds(state: State, {isOver, until, reason}: Backoff): number {
  const again = isOver ? never : until
  return isPathDecline(reason) ? Math.min(again, state.time + registrationCheckMs) : again
}

/** How a lease ends if nothing comes before this time, on the lease clock. */
export type LeaseEnd = {at: number; how: 'cancel' | 'fail' | 'expire' | 'lapse' | 'requeue'}

/** How a lease may end: of those that are due, the first one counts. */
export function endsOf(state: State, lease: Lease): LeaseEnd[] {
  const {cancelledAt = never, failsAt = never, until, isConfirmed} = lease
  const cancel: LeaseEnd = {at: cancelledAt, how: 'cancel'}
  if (lease.isLost) return [cancel, {at: failsAt, how: 'fail'}]
  if (profileOf(state, lease.workerId).hasLeases) return [cancel, {at: until, how: isConfirmed ? 'expire' : 'lapse'}]
  return [cancel, ...endsWithoutLeases(state, lease)]
}

/**
 * A worker without leases (the Python one) reports the end of a run once. It sends nothing while it runs a task with a
 * long tool call: its silence about a task means something only if it may have missed reporting.
 */
function endsWithoutLeases(state: State, {workerId, doubtfulSince = never}: Lease): LeaseEnd[] {
  const {silentWorkerMs} = state.policy
  const silentSince = state.get('connection', workerId) ? state.time : state.time - silentMs(state, workerId)
  return [
    {at: silentSince + silentWorkerMs, how: 'expire'},
    {at: doubtfulSince + silentWorkerMs, how: 'requeue'},
  ]
}

/** When a lease must be looked at. */
const leaseEnds = (state: State, lease: Lease): number => Math.min(...endsOf(state, lease).map(({at}) => at))
