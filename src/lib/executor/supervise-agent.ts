import {join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import {isFullNow} from '../core/disk-full.ts'
import {messageOf} from '../core/errors.ts'
import {RunRecord} from '../opencode/output/record.ts'
import {judge} from '../opencode/output/verdict.ts'
import type {RunObserver, RunOutcome, RunRequest, StopReason} from './executor.ts'
import type {ProcessIdentity} from './processes/processes.ts'
import {runFiles} from './spool/file-names.ts'
import {endProcesses} from './processes/kill-tree.ts'
import {awaitedPermission} from './awaited-permission.ts'
import {countMemoryKills} from './processes/out-of-memory.ts'
import {createAgentSigns} from './agent-signs.ts'
import type {AgentUser} from '../opencode/program/agent-user.ts'
import {removeFolderOfUser} from './processes/user-folder.ts'
import type {RunGroup} from './processes/run-groups.ts'
import {readEvents} from './read-events.ts'
import type {AgentExit} from './spawn-agent.ts'
import {readTail} from './spool/read-tail.ts'
import {watchOutputSize} from './output-limit.ts'
import {createWatchdog} from './watchdog.ts'

export type SuperviseOptions = {
  request: RunRequest
  observer: RunObserver
  clock: Clock
  root: ProcessIdentity
  /** Undefined: ended without an exit code, because the process was not our child. */
  exited: Promise<AgentExit | undefined>
  /** Monotonic ms. */
  startedAt: number
  /** When it last printed, in monotonic ms, if it had printed before it was adopted. */
  printedAt?: number | undefined
  /** The requested model. */
  model: string | undefined
  /** The reason of the signal is a StopReason. */
  stop: AbortSignal
  /** Where the output of this process begins, in bytes. */
  spoolFrom: number
  stderrFrom: number
  /** OpenCode's folder of locks. */
  locks?: string | undefined
  /** The control group of the run, if it has one. It is removed at the end. */
  group?: RunGroup | undefined
  /** The user that its processes run as, if it is another one. */
  user?: AgentUser | undefined
}

/** Within this time no system starts so many processes that pids wrap around. */
const recentMs = 5000
/** How long to wait for a killed process to end. */
const exitMs = 1000

export type Supervised = {outcome: RunOutcome; events: number; stderr: string}

/** Supervises a running agent: reads its output, enforces deadlines, ends all its processes, and judges the outcome. */
export async function superviseAgent(options: SuperviseOptions): Promise<Supervised> {
  const {request, observer, clock, exited, startedAt} = options
  const record = new RunRecord()
  const killsBefore = countMemoryKills()
  const exitSeen = new AbortController()
  const watching = new AbortController()
  const signs = createAgentSigns(options)
  const isFinished = () => record.finished && !record.overflowed
  let stop: StopReason | undefined
  const watchdog = createWatchdog({
    deadlines: request.deadlines,
    clock,
    startedAt,
    printedAt: options.printedAt,
    signs: (hasPrinted) => signs.read({hasPrinted, sessionId: record.sessionId}),
    isFinished,
    awaitedPermission: () => awaitedPermission(request.runDir, options.stderrFrom),
    describe: signs.describe,
    onWait: observer.onProviderWait,
    onState: observer.onState,
  })
  const reading = readEvents({
    path: join(request.runDir, runFiles.stdout),
    from: options.spoolFrom,
    ended: exitSeen.signal,
    record,
    observer,
    onOutput: () => watchdog.recordOutput(),
    onStepStart: signs.onStepStart,
    onStepEnd: signs.onStepEnd,
  }).catch((error: unknown) => `the output of OpenCode could not be read: ${messageOf(error)}`)
  const end = () =>
    endProcesses({
      ...options,
      ...request,
      seen: signs.members(),
      graceMs: stop?.graceMs ?? request.deadlines.grace,
      isRecent: clock.monotonic() - startedAt < recentMs,
    })

  const first = await Promise.race([
    exited.then(() => 'exit' as const),
    watchdog.watch(watching.signal),
    watchOutputSize(request, clock, watching.signal),
    stopped(options),
  ])
  watching.abort('over')
  const wasFull = isFullNow(request.runDir) // before the cleanup, which frees space
  const isOutOfMemory = (countMemoryKills() ?? 0) > (killsBefore ?? 0)
  const isEndedByUs = first !== 'exit'
  if (first !== 'exit' && first) {
    // A finished task counts as done, even if its process had to be ended.
    if (record.finished) observer.onWarning(`${first.error}; its processes were ended`)
    else stop = first
    signs.updateMembers()
    await end()
  }
  observer.onExited()
  // A process that cannot be ended does not hold up the report.
  const exit = await Promise.race([exited, clock.sleep(exitMs, exitSeen.signal).then(() => undefined)])
  const left = await end() // before the last read: remaining processes may still write
  options.group?.remove()
  if (options.user) removeFolderOfUser(options.user, request.marker)
  exitSeen.abort('exited')
  const unreadable = await reading
  if (unreadable) stop ??= {status: 'failed', error: unreadable}
  if (left.length > 0)
    observer.onWarning(`processes of the run could not be ended: ${left.map(({pid}) => pid).join(', ')}`)

  const stderr = readTail(join(request.runDir, runFiles.stderr), options.stderrFrom)
  warnOfFallback(stderr, observer)
  return {
    outcome: outcomeOf(options, {record, exit: isEndedByUs ? undefined : exit, stderr, stop, wasFull, isOutOfMemory}),
    events: record.events,
    stderr,
  }
}

const stopped = ({stop}: SuperviseOptions) =>
  new Promise<StopReason>((resolve) => {
    const settle = () => resolve(stop.reason as StopReason)
    if (stop.aborted) settle()
    else stop.addEventListener('abort', settle, {once: true})
  })

type Ending = {
  record: RunRecord
  exit: AgentExit | undefined
  stderr: string
  stop: StopReason | undefined
  wasFull: boolean
  isOutOfMemory: boolean
}

function outcomeOf({request, model, clock, startedAt}: SuperviseOptions, ending: Ending): RunOutcome {
  const {record} = ending
  const isDiskFull = ending.wasFull || request.wasDiskFull?.() === true
  return {
    ...judge({...ending, model, isDiskFull: !record.finished && isDiskFull}),
    result: record.result,
    hasBegun: record.events > 0,
    sessionId: record.sessionId ?? request.sessionId ?? null,
    usage: {...record.usage, model: model ?? null, duration_ms: Math.round(clock.monotonic() - startedAt)},
  }
}

/** OpenCode falls back to its default agent for one it cannot use, and reports that on stderr only. */
function warnOfFallback(stderr: string, observer: RunObserver): void {
  const line = stderr.split('\n').find((text) => /agent ".*falling back to default agent/i.test(text))
  if (line) observer.onWarning(line.replace(/^.*?(?=agent ")/, ''))
}
