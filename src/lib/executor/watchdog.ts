import type {Clock} from '../core/clock.ts'
import {explainPermission, type PermissionRequest} from '../opencode/output/permission-request.ts'
import type {Deadlines, StopReason} from './executor.ts'

export type WatchdogOptions = {
  deadlines: Deadlines
  clock: Clock
  /** On the monotonic clock. */
  startedAt: number
  /** When it printed last, on the monotonic clock, if it has: it was taken over from an earlier worker. */
  printedAt?: number | undefined
  /** Asked about once a second. */
  isToolRunning: () => boolean
  /** The agent's last event was the end of the task, so its process has nothing left to do. */
  isFinished: () => boolean
  /** The agent's last word is that it wants a permission, which nobody is there to give. */
  awaitedPermission: () => PermissionRequest | undefined
}

export type Watchdog = {
  /** The agent has just printed something. */
  sawOutput(): void
  /** Resolves with the reason when a deadline has passed; with undefined when `signal` is aborted. */
  watch(signal: AbortSignal): Promise<StopReason | undefined>
}

const tickMs = 1000
/** How long a process may stay after it said that it is done. */
const lingerMs = 10_000
/** How long an agent may be silent after it asked for a permission: by then it has gone on without, or waits for ever. */
const permissionMs = 5000

/** Notices an agent that never begins, falls silent, or takes too long: each of these waits would be for ever. */
export function createWatchdog(options: WatchdogOptions): Watchdog {
  const {deadlines, clock, startedAt, isToolRunning, isFinished, awaitedPermission} = options
  const {startup, idle, tool, total} = deadlines
  let outputAt = options.printedAt
  let toolAt = startedAt
  let askedAt: number | undefined

  /** What is over, or how long nothing can be over yet. */
  const check = (): StopReason | number => {
    const now = clock.monotonic()
    const silentFor = now - (outputAt ?? startedAt)
    const hasTool = isToolRunning()
    if (hasTool) toolAt = now
    const isDone = isFinished()
    const asked = isDone ? undefined : awaitedPermission()
    // What it was refused does not end the other calls of the same turn.
    const isStuck = asked !== undefined && !(asked.isRejected && hasTool)
    askedAt = isStuck ? (askedAt ?? now) : undefined
    // From the end of a tool too: its event comes a moment after its process has gone.
    const idleFor = Math.min(silentFor, now - toolAt)
    const limits: [isOn: boolean, passed: number, limit: number, error: (limit: string) => string][] = [
      [isDone, silentFor, lingerMs, (limit) => `OpenCode was done, but did not exit within ${limit}`],
      [isStuck, now - (askedAt ?? now), permissionMs, () => explainPermission(asked?.what ?? '')],
      [true, now - startedAt, total, (limit) => `Timed out after ${limit} (task_timeout)`],
      [
        outputAt === undefined,
        silentFor,
        startup,
        (limit) => `OpenCode printed nothing within ${limit} of its start (startup_timeout)`,
      ],
      [
        outputAt !== undefined && !hasTool,
        idleFor,
        idle,
        (limit) => `OpenCode printed nothing for ${limit} (idle_timeout)`,
      ],
      [outputAt !== undefined && hasTool, silentFor, tool, (limit) => `A tool ran for over ${limit} (tool_timeout)`],
    ]
    let rest = tickMs
    for (const [isOn, passed, limit, error] of limits) {
      if (!isOn || limit === 0) continue
      if (passed >= limit) return {status: 'failed', error: error(seconds(limit))}
      rest = Math.min(rest, limit - passed)
    }

    return Math.max(1, Math.ceil(rest))
  }

  return {
    sawOutput() {
      outputAt = clock.monotonic()
    },
    async watch(signal) {
      while (!signal.aborted) {
        const found = check()
        if (typeof found !== 'number') return found
        await clock.sleep(found, signal)
      }

      return undefined
    },
  }
}

const seconds = (ms: number) => `${ms / 1000} s`
