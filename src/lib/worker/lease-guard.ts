import type {Config} from '../config/settings.ts'
import type {Clock} from '../core/clock.ts'
import type {StopReason} from '../executor/executor.ts'
import {limits} from '../protocol/limits.ts'
import type {Registration} from './registration/registration.ts'
import type {ActiveTasks} from './run/active-task.ts'

type LeaseGuardOptions = {
  runner: ActiveTasks
  registration: Pick<Registration, 'lastHeartbeatAt'>
  config: Pick<Config, 'cancel_grace'>
  clock: Clock
}

const checkMs = 1000
/** How often to look whether there are portable tasks. A lease that begins meanwhile ends later than that. */
const idleMs = limits.heartbeat
/** How long ending an agent may take beyond its grace period. */
const endMs = 5000
/** One late heartbeat must not stop a task. */
const minSilenceMs = limits.heartbeat + 5000

const leaseEnds: StopReason = {
  status: 'failed',
  error: 'the control plane was out of reach, and may give the task to another worker',
  requeues: true,
}

/**
 * Stops portable tasks before their lease expires, because another worker gets them then. Their agents have ended by
 * that time, on the monotonic clock, so that two workers never run the same task. Tasks of a codebase go on.
 */
export async function guardLeases(options: LeaseGuardOptions, signal: AbortSignal): Promise<void> {
  const {runner, registration, config, clock} = options
  while (!signal.aborted) {
    const isIdle = !runner.active.some(({isPortable}) => isPortable)
    await clock.sleep(isIdle ? idleMs : checkMs, signal)
    if (signal.aborted) return
    const maxSilenceMs = Math.max(minSilenceMs, limits.lease - config.cancel_grace * 1000 - endMs)
    for (const {id, attempt, isPortable, heldSince} of runner.active) {
      const renewedAt = Math.max(heldSince, registration.lastHeartbeatAt)
      if (isPortable && attempt > 0 && clock.monotonic() - renewedAt >= maxSilenceMs) runner.stop(id, leaseEnds)
    }
  }
}
