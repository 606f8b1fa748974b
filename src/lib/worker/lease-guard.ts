import type {Config} from '../config/settings.ts'
import type {Clock} from '../core/clock.ts'
import type {StopReason} from '../executor/executor.ts'
import {limits} from '../protocol/limits.ts'
import type {Registration} from './registration/registration.ts'
import type {TaskRunner} from './run/task-runner.ts'

type Parts = {
  runner: Pick<TaskRunner, 'active' | 'stop'>
  registration: Pick<Registration, 'lastSign'>
  config: Pick<Config, 'cancel_grace'>
  clock: Clock
}

const lookMs = 1000
/** What the end of an agent may take beyond its time of grace. */
const endMs = 5000
/** One heartbeat that is late is no reason to end anything. */
const leastMs = limits.heartbeat + 5000

const leaseEnds: StopReason = {
  status: 'failed',
  error: 'the control plane was out of reach, and may give the task to another worker',
  givesBack: true,
}

/**
 * Ends what another worker gets when the lease runs out: a task that is tied to no machine. Its agent is gone before
 * that, on the monotonic clock, so that two never work on it. What belongs to a codebase goes on, however long it takes.
 */
export async function guardLeases({runner, registration, config, clock}: Parts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(lookMs, signal)
    if (signal.aborted) return
    const mostMs = Math.max(leastMs, limits.lease - config.cancel_grace * 1000 - endMs)
    for (const {id, attempt, isPortable, heldSince} of runner.active) {
      const renewed = Math.max(heldSince, registration.lastSign)
      if (isPortable && attempt > 0 && clock.monotonic() - renewed >= mostMs) runner.stop(id, leaseEnds)
    }
  }
}
