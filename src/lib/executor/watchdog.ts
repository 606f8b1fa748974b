import type {Clock} from '../core/clock.ts'
import {explainPermission, type PermissionRequest} from '../opencode/output/permission-request.ts'
import type {Deadlines, StopReason} from './executor.ts'

export type WatchdogOptions = {
  deadlines: Deadlines
  clock: Clock
  /** Monotonic ms. */
  startedAt: number
  /** When it last printed, in monotonic ms, if it was adopted and had printed before. */
  printedAt?: number | undefined
  /** Called about once a second. */
  isToolRunning: () => boolean
  /** Whether the agent's last event was the end of the task. Its process should exit then. */
  isFinished: () => boolean
  /** The permission that the agent waits for, if that is the last thing it printed. Nobody can grant it. */
  awaitedPermission: () => PermissionRequest | undefined
}

export type Watchdog = {
  /** Called when the agent has printed something. */
  recordOutput(): void
  /** Resolves with the reason when a deadline has passed, or with undefined when `signal` is aborted. */
  watch(signal: AbortSignal): Promise<StopReason | undefined>
}

const tickMs = 1000
/** How long a process may live after its last event. */
const lingerMs = 10_000
/** How long an agent may be silent after it asked for a permission. By then it has continued, or waits forever. */
const permissionMs = 5000

/** Detects an agent that never begins, falls silent, or takes too long. Each of these would otherwise last forever. */
export function createWatchdog(options: WatchdogOptions): Watchdog {
  const {deadlines, clock, startedAt, isToolRunning, isFinished, awaitedPermission} = options
  const {startup, idle, tool, total} = deadlines
  let outputAt = options.printedAt
  let toolAt = startedAt
  let askedAt: number | undefined

  /** The deadline that has passed, or the ms until the next check. */
  const check = (): StopReason | number => {
    const now = clock.monotonic()
    const silentFor = now - (outputAt ?? startedAt)
    const hasTool = isToolRunning()
    if (hasTool) toolAt = now
    const isDone = isFinished()
    const asked = isDone ? undefined : awaitedPermission()
    // A rejected request does not end other tool calls of the same turn.
    const isStuck = asked !== undefined && !(asked.isRejected && hasTool)
    askedAt = isStuck ? (askedAt ?? now) : undefined
    // Counts from the end of a tool too: its event follows a moment after its process has ended.
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
    recordOutput() {
      outputAt = clock.monotonic()
    },
    async watch(signal) {
      while (!signal.aborted) {
        const result = check()
        if (typeof result !== 'number') return result
        await clock.sleep(result, signal)
      }

      return undefined
    },
  }
}

const seconds = (ms: number) => `${ms / 1000} s`
