import {newLease} from '../state/new-lease.ts'
import type {Lease} from '../state/records.ts'
import type {State} from '../state/state.ts'
import type {HeldTask} from './sqlite-tasks.ts'

/** A new lease of a task that a worker holds: no worker could renew the former one. Undefined if nobody holds it. */
export function restoredLease(state: State, task: HeldTask): Lease | undefined {
  const {time, now, policy} = state
  const {worker_id: workerId, lost_since, cancel_requested_at} = task
  if (workerId === null) return undefined
  const canStop = state.get('worker', workerId)?.features.includes('lease') ?? false
  return {
    ...newLease(state, task, workerId, {isConfirmed: task.status === 'running'}),
    doubtfulSince: time,
    isLost: lost_since !== null,
    failsAt: lost_since === null ? undefined : time + timeLeft(lost_since, now, policy.lostTimeoutMs),
    cancelledAt: cancel_requested_at !== null && !canStop ? time + policy.unstoppableMs : undefined,
  }
}

const timeLeft = (since: string, now: number, timeoutMs: number) => Math.max(0, Date.parse(since) + timeoutMs - now)
