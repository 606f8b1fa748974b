import type {Clock} from '../core/clock.ts'
import type {ProviderWait} from '../opencode/output/agent-report.ts'
import {explainPermission, type PermissionRequest} from '../opencode/output/permission-request.ts'
import {providerRefusal, type ProviderTrouble} from '../opencode/output/provider-trouble.ts'
import type {AgentState} from '../protocol/agent-state.ts'
import type {AgentSigns} from './agent-signs.ts'
import type {Deadlines, StopReason} from './executor.ts'

export type WatchdogOptions = {
  deadlines: Deadlines
  clock: Clock
  /** Monotonic ms. */
  startedAt: number
  /** When it last printed, in monotonic ms, if it was adopted and had printed before. */
  printedAt?: number | undefined
  /** Called about once a second. `hasPrinted`: there was an event. */
  signs: (hasPrinted: boolean) => AgentSigns
  /** Whether the agent's last event was the end of the task. Its process should exit then. */
  isFinished: () => boolean
  /** The permission that the agent waits for, if that is the last thing it printed. Nobody can grant it. */
  awaitedPermission: () => PermissionRequest | undefined
  /** Whether a person is asked. That has a limit of its own. */
  isAsking: () => boolean
  /** The name of the agent's program, for people. */
  name: string
  /** What the agent waits for, for people. Empty if unknown. */
  describe: () => string
  /** The agent waits for its provider, or no longer. Called for each change. */
  onWait: (wait: ProviderTrouble | undefined) => void
  /** The agent does something else now. Called for each change. */
  onState: (state: AgentState) => void
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
  const {deadlines, clock, startedAt, signs, isFinished, awaitedPermission, describe, name} = options
  const {startup, idle, tool, total} = deadlines
  let outputAt = options.printedAt
  let toolAt = startedAt
  let waitedAt = startedAt
  let askedAt: number | undefined
  const noteWait = waitNotifier(options.onWait)
  const noteState = stateNotifier(options.onState)

  /** The deadline that has passed, or the ms until the next check. */
  const check = (): StopReason | number => {
    const now = clock.monotonic()
    const {workedAt = startedAt, isToolRunning: hasTool, wait, state} = signs(outputAt !== undefined)
    noteState(state)
    const isWaiting = wait !== undefined && (wait.until === undefined || clock.now() < wait.until)
    noteWait(isWaiting ? wait : undefined)
    if (isWaiting) {
      const reason = endOfWait(wait, deadlines.provider, clock.now())
      if (reason) return reason
      waitedAt = now
    }
    if (options.isAsking()) waitedAt = now
    const silentFor = now - Math.max(outputAt ?? startedAt, workedAt, waitedAt)
    if (hasTool) toolAt = now
    const isDone = isFinished()
    const asked = isDone ? undefined : awaitedPermission()
    // A rejected request does not end other tool calls of the same turn.
    const isStuck = asked !== undefined && !(asked.isRejected && hasTool)
    askedAt = isStuck ? (askedAt ?? now) : undefined
    // Counts from the end of a tool too: its event follows a moment after its process has ended.
    const idleFor = Math.min(silentFor, now - toolAt)
    const lingersFor = now - (outputAt ?? startedAt)
    const limits: [isOn: boolean, passed: number, limit: number, error: (limit: string) => string][] = [
      [isDone, lingersFor, lingerMs, (limit) => `${name} was done, but did not exit within ${limit}`],
      [isStuck, now - (askedAt ?? now), permissionMs, () => explainPermission(asked?.what ?? '')],
      [true, now - startedAt, total, (limit) => `Timed out after ${limit} (task_timeout)`],
      [
        outputAt === undefined,
        silentFor,
        startup,
        (limit) =>
          silentFor === now - startedAt
            ? `${name} printed nothing within ${limit} of its start (startup_timeout)`
            : `${name} has printed nothing yet, and did nothing for ${limit} (startup_timeout)`,
      ],
      [
        outputAt !== undefined && !hasTool,
        idleFor,
        idle,
        (limit) => `${name} printed nothing for ${limit} (idle_timeout)`,
      ],
      [outputAt !== undefined && hasTool, silentFor, tool, (limit) => `A tool ran for over ${limit} (tool_timeout)`],
    ]
    const awaited = () => (isDone || isStuck ? '' : describe())
    let rest = tickMs
    for (const [isOn, passed, limit, error] of limits) {
      if (!isOn || limit === 0) continue
      if (passed >= limit) return {status: 'failed', error: explained(error(seconds(limit)), awaited())}
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

/** Passes on each wait once, and its end. */
function waitNotifier(onWait: WatchdogOptions['onWait']) {
  let noted = ''
  return (wait: ProviderWait | undefined) => {
    const key = wait ? `${wait.since} ${wait.until} ${wait.message}` : ''
    if (key === noted) return
    noted = key
    onWait(wait && providerRefusal(wait))
  }
}

/** Passes on each state once. */
function stateNotifier(onState: WatchdogOptions['onState']) {
  let noted = ''
  return (state: AgentState) => {
    const key = `${state.state} ${state.what} ${state.since}`
    if (key === noted) return
    noted = key
    onState(state)
  }
}

/** The reason to end a run whose provider asks for more time than it gets. `now` in Unix ms. */
function endOfWait(wait: ProviderWait, limit: number, now: number): StopReason | undefined {
  if (limit === 0 || (wait.until ?? now) - wait.since <= limit) return undefined
  const provider = providerRefusal(wait)
  const asked = wait.until === undefined ? 'has refused since' : 'is asked again at'
  const time = new Date(wait.until ?? wait.since).toISOString().replace(/\.\d+Z$/, 'Z')
  const error = `${wait.message} (the provider ${provider.id ?? 'of the model'} ${asked} ${time}; max_provider_wait is ${seconds(limit)})`
  return {status: 'failed', error, provider}
}

const explained = (error: string, awaited: string) => (awaited === '' ? error : `${error}; ${awaited}`)

const seconds = (ms: number) => `${ms / 1000} s`
